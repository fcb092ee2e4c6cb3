"""The darkroom command as users run it."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from unittest.mock import patch

import pytest
from PIL import Image

from server.settings.load import load
from server.settings.secrets import generate_secrets
from server.settings.validation import SettingsError
from server.system import System
from tests.support.process import environment, run_darkroom, server_process
from tests.support.server import make_settings, running_server

SAFE = {
    f"SECRETS__{name}": f"the {name} secret of a test, long enough" for name in ("TOKEN", "CODE", "MEDIA", "INTERNAL")
}
SAFE |= {
    "MODE": "production",
    "SERVER__PUBLIC_URL": "https://api.example.com",
    "SMS__SENDER": "webhook",
    "SMS__WEBHOOK__URL": "https://sms.example.com/send",
    "SMS__WEBHOOK__SECRET": "the webhook secret of a test, long enough",
}


async def test_every_fault_of_the_settings_is_reported_at_once_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('mode = "live"\n[server]\nprot = 1\n[auth]\ntoken_days = 0\n')
    status, _, err = await run_darkroom("serve", cwd=tmp_path, SERVER__PORT="http", TASKS__WROKERS="2")
    assert status == 2
    for key in ("mode", "server.prot", "auth.token_days", "server.port", "DARKROOM__TASKS__WROKERS"):
        assert f"\n  {key}: " in err, err


async def test_wider_limits_follow_narrow_ones_unless_set(tmp_path: Path) -> None:
    _, out, _ = await run_darkroom("config", cwd=tmp_path, AUTH__PHONE_PER_MINUTE="50", AUTH__ADDRESS_PER_HOUR="7")
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines()}
    assert [rows[f"auth.{name}"] for name in ("phone_per_hour", "phone_per_day", "prefix_per_hour")] == [
        "100",
        "200",
        "70",
    ]
    _, out, _ = await run_darkroom("config", cwd=tmp_path, AUTH__PHONE_PER_HOUR="6", AUTH__PREFIX_PER_HOUR="9")
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines()}
    assert [rows[f"auth.{name}"] for name in ("phone_per_hour", "phone_per_day", "prefix_per_hour")] == ["6", "20", "9"]
    status, _, err = await run_darkroom("config", cwd=tmp_path, AUTH__PHONE_PER_MINUTE="many")
    assert (status, err.count("auth.")) == (2, 1), "one fault, one line"


async def test_production_requires_each_secret_by_name_and_writes_none(tmp_path: Path) -> None:
    status, _, err = await run_darkroom(
        "serve", cwd=tmp_path, MODE="production", SECRETS__CODE="short", SECRETS__TOKEN=""
    )
    assert status == 2
    for name in ("token", "code", "media", "internal"):
        assert f"secrets.{name}: " in err
    assert "short" not in err.replace("too short", "")
    assert not (tmp_path / "data").exists()


UNSAFE: list[tuple[dict[str, str], str]] = [
    ({"SECRETS__TOKEN": ""}, "secrets.token: production requires a secret"),
    ({"SECRETS__MEDIA": "m" * 40}, "secrets.media: is easy to guess"),
    ({"SECRETS__CODE": SAFE["SECRETS__MEDIA"]}, "secrets.media: is the same as secrets.code"),
    ({"METRICS__TOKEN": SAFE["SECRETS__TOKEN"]}, "metrics.token: is the same as secrets.token"),
    ({"METRICS__TOKEN": "m" * 32}, "metrics.token: is easy to guess"),
    ({"SMS__WEBHOOK__SECRET": "s" * 32}, "sms.webhook.secret: is easy to guess"),
    ({"SMS__WEBHOOK__SECRET": SAFE["SECRETS__CODE"]}, "sms.webhook.secret: is the same as secrets.code"),
    ({"AUTH__TOKEN_DAYS": "60"}, "auth.refresh_days: must not be less than auth.token_days"),
    ({"SMS__WEBHOOK__URL": "https://sms.example.com:99999/x"}, "sms.webhook.url: Port out of range"),
    ({"SERVER__PUBLIC_URL": ""}, "server.public_url: is required"),
    ({"SERVER__PUBLIC_URL": "http://api.example.com"}, "server.public_url: begins with http://"),
    (
        {"SERVER__TRUSTED_PROXIES": '["0.0.0.0/1", "128.0.0.0/1"]'},
        "server.trusted_proxies: 0.0.0.0/1 is too wide",
    ),
    ({"SERVER__TRUSTED_PROXIES": '["10.0.0.0/8", "2000::/3"]'}, "server.trusted_proxies: 2000::/3 is too wide"),
    ({"SERVER__CORS_ORIGINS": '["*"]'}, "server.cors_origins.0: must be an origin"),
    ({"SMS__SENDER": ""}, "sms.sender: is empty, so users could not log in"),
    ({"SMS__SENDER": "sandbox"}, "sms.sender: is the sandbox"),
    ({"SMS__WEBHOOK__SECRET": ""}, "sms.webhook.secret: is required"),
    ({"SMS__WEBHOOK__URL": "http://sms.example.com"}, "sms.webhook.url: begins with http://"),
    ({"SMS__SENDER": "tencent"}, "sms.tencent.app_id: is required"),
    (
        {"SMS__SENDER": "aliyun", "SMS__ALIYUN__ENDPOINT": "http://a.example"},
        "sms.aliyun.endpoint: begins with http://",
    ),
    ({"AUTH__TEST_NUMBERS": '[{"phone": "13800138000", "code": "123456"}]'}, "auth.test_numbers: 13800138000 needs"),
]


@pytest.mark.parametrize("unsafe, reason", UNSAFE, ids=[reason for _, reason in UNSAFE])
def test_production_refuses_unsafe_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsafe: dict[str, str], reason: str
) -> None:
    found = problems(tmp_path, monkeypatch, {**SAFE, **unsafe})
    assert [fault for fault in found if fault.startswith(reason)], found
    assert not (tmp_path / "data").exists()
    assert not any(secret in fault for fault in found for name, secret in SAFE.items() if "SECRET" in name)


def test_production_accepts_safe_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(tmp_path, monkeypatch, SAFE) == []
    own = '["10.0.0.0/8", "127.0.0.1", "fc00::/7", "fd00::/8", "2001:db8::/32"]'
    assert problems(tmp_path, monkeypatch, {**SAFE, "SERVER__TRUSTED_PROXIES": own}) == []


def problems(folder: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> list[str]:
    """Return why the command does not start in an empty folder with these settings."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("os.environ", environment(**given))
    try:
        load(None, {}, generate=False)
    except SettingsError as fault:
        return fault.problems
    return []


async def test_production_reports_every_reason_together_with_invalid_values(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        """
        mode = "production"
        [server]
        port = "http"
        trusted_proxies = ["0.0.0.0/0"]
        [sms]
        sender = "aliyun"
        [[auth.test_numbers]]
        phone = "13800138000"
        code = "123456"
        """
    )
    status, _, err = await run_darkroom("serve", cwd=tmp_path, SECRETS__CODE="short")
    assert status == 2
    keys = [line.split(":")[0].strip() for line in err.splitlines()[1:]]
    assert keys == [
        *("server.port", "secrets.code"),
        *(f"sms.aliyun.{name}" for name in ("access_key_id", "access_key_secret", "sign_name", "template_code")),
        *("secrets.token", "secrets.media", "secrets.internal", "server.public_url", "server.trusted_proxies"),
        "auth.test_numbers",
    ]


async def test_one_fault_hides_no_other(tmp_path: Path) -> None:
    twice = '[{"phone": "13800138000", "code": "135791"}, {"phone": "+8613800138000", "code": "135792"}]'
    wrong = {"AUTH__FAILURES": "0", "AUTH__TOKEN_DAYS": "60", "AUTH__TEST_NUMBERS": twice}
    status, _, err = await run_darkroom("serve", cwd=tmp_path, **wrong)
    keys = [line.split(":")[0].strip() for line in err.splitlines()[1:]]
    assert (status, sorted(keys)) == (2, ["auth.failures", "auth.refresh_days", "auth.test_numbers"])
    only = {"AUTH__TOKEN_DAYS": "60", "AUTH__TEST_NUMBERS": '[{"phone": "13800138000", "code": "135791"}]'}
    status, _, err = await run_darkroom("serve", cwd=tmp_path, **{**SAFE, **only})
    assert "auth.refresh_days" in err and "auth.test_numbers: 13800138000 needs `until`" in err


VALUES_WITH_A_SECRET = [
    ("SMS__WEBHOOK", '{"url": "https://h.example", "secret": "hush-hush-hush"'),
    ("SMS", '{"webhook": {"secret": "hush-hush-hush"}'),
    ("SMS__TENCENT", "hush-hush-hush"),
    ("METRICS", '{"token": "hush-hush-hush"'),
    ("AUTH__TEST_NUMBERS", '["hush-hush-hush"]'),
    ("AUTH__TEST_NUMBERS", '[{"phone": "13800138000", "code": "hush-hush-hush"}]'),
    ("SMS__WEBHOOK__URL", "ftp://user:hush-hush-hush@h.example"),
    ("SERVER__PUBLIC_URL", "x://user:hush-hush-hush@h.example"),
]


@pytest.mark.parametrize("name, value", VALUES_WITH_A_SECRET)
def test_a_fault_of_the_settings_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    found = problems(tmp_path, monkeypatch, {name: value})
    assert found and not any("hush" in fault for fault in found)


async def test_config_masks_secrets_in_addresses(tmp_path: Path) -> None:
    address = "https://user:hush@sms.example.com/send?token=hush"
    _, out, _ = await run_darkroom(
        "config", cwd=tmp_path, SMS__WEBHOOK__URL=address.replace("user:hush", "user:hu@hush")
    )
    assert "hush" not in out
    _, out, _ = await run_darkroom("config", cwd=tmp_path, SMS__WEBHOOK__URL=address)
    assert "https://**********@sms.example.com/send?**********" in out and "hush" not in out


async def test_a_system_that_cannot_be_built_releases_its_folder(tmp_path: Path) -> None:
    """The settings are valid, and a part cannot be created with them all the same."""
    broken = make_settings(tmp_path / "data")
    with patch("server.system.LocalObjects", side_effect=ValueError("out of bounds")), pytest.raises(ValueError):
        await System.start(broken, "http://127.0.0.1")
    async with running_server(tmp_path / "data") as server:
        assert (await server.get("/ready")).status == 200


async def test_production_refuses_generated_secrets(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data"):
        pass
    kept = (tmp_path / "data" / "secrets" / "internal").read_text().strip()
    status, _, err = await run_darkroom("serve", "--data", "data", cwd=tmp_path, **{**SAFE, "SECRETS__CODE": kept})
    assert status == 2 and "\n  secrets.code: was generated by development mode" in err and kept not in err


async def test_production_starts_with_safe_settings(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data", **SAFE) as server:
        assert server.base.startswith("http://127.0.0.1:")
    assert not (tmp_path / "data" / "secrets").exists()


def kept_secrets(data: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in (data / "secrets").iterdir()}


async def test_development_secrets_are_generated_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    async with server_process(data):
        pass
    before = kept_secrets(data)
    assert set(before) == {"token", "code", "media", "internal"}
    async with server_process(data):
        pass
    assert kept_secrets(data) == before
    for path in (*data.rglob("*"),):
        assert stat.S_IMODE(path.stat().st_mode) in (0o600, 0o700), path


async def test_processes_that_start_together_use_the_same_secrets(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    names = [f"name{number}" for number in range(20)]
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(asyncio.to_thread(generate_secrets, folder, names))
    assert {path.name for path in folder.iterdir()} == set(names)
    assert all(len(secret) == 64 for secret in kept_secrets(tmp_path).values())


async def test_config_shows_each_setting_with_its_source_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[auth]\ncode_minutes = 9\n")
    async with server_process(tmp_path / "here"):
        pass
    status, out, _ = await run_darkroom(
        "config", "--data", "here", cwd=tmp_path, SERVER__PORT="81", SECRETS__CODE="c" * 40
    )
    assert status == 0
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if len(line.split()) == 3}
    assert rows["auth.code_minutes"] == ["9", "config.toml"]
    assert rows["server.port"] == ["81", "environment"]
    assert rows["auth.token_days"] == ["7", "default"]
    assert rows["secrets.code"] == ["**********", "environment"]
    assert rows["secrets.token"] == ["**********", "here/secrets/token"]
    assert "data " in out and "command line" in out
    assert not any(secret in out for secret in ("c" * 40, *kept_secrets(tmp_path / "here").values()))


async def test_config_writes_nothing(tmp_path: Path) -> None:
    status, out, _ = await run_darkroom("config", cwd=tmp_path)
    assert status == 0 and list(tmp_path.iterdir()) == []
    assert out.count("generated at the first start") == 4


async def test_faults_of_file_and_environment_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mode =")
    status, _, err = await run_darkroom("serve", cwd=tmp_path, SERVER__PROT="1", AUTH__TOKEN_DAYS="0")
    assert status == 2
    for key in ("config.toml", "DARKROOM__SERVER__PROT", "auth.token_days"):
        assert f"\n  {key}: " in err, err


@pytest.mark.parametrize("name", ["data", "data/secrets", "data/work"])
async def test_an_unusable_data_folder_is_reported_and_nothing_hangs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("a file where a folder should be")
    status, _, err = await run_darkroom("serve", "--port", "0", cwd=tmp_path)
    assert status in (1, 2)
    assert f"{Path(name)}" in err.splitlines()[-1] and "Traceback" not in err


async def test_a_named_config_file_must_exist(tmp_path: Path) -> None:
    status, _, err = await run_darkroom("serve", "--config", "nowhere.toml", cwd=tmp_path)
    assert (status, "there is no file nowhere.toml" in err) == (2, True)


async def test_a_folder_in_use_is_refused_with_advice(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server:
        status, _, err = await run_darkroom("serve", "--data", "data", "--port", "0", cwd=tmp_path)
        assert status == 1
        assert f"in use by process {server.process.pid}" in err and "--data" in err and "Traceback" not in err


async def test_a_port_in_use_is_refused_with_advice(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server:
        port = server.base.rpartition(":")[2]
        status, _, err = await run_darkroom("serve", "--data", "other", "--port", port, cwd=tmp_path)
        assert status == 1
        assert f"cannot listen on 127.0.0.1:{port}" in err and "Traceback" not in err


async def test_the_demo_saves_three_pictures_and_the_ledger_whatever_the_current_folder_has(tmp_path: Path) -> None:
    """It ignores the settings and the modules of the current folder."""
    (tmp_path / "config.toml").write_text('[server]\npublic_url = "http://127.0.0.1:9"\n')
    (tmp_path / "server.py").write_text("raise SystemExit('a module of the current folder')")
    status, out, err = await run_darkroom("demo", "--out", "results", cwd=tmp_path, TASKS__WORKERS="0")
    assert status == 0, out + err
    results = tmp_path / "results"
    with Image.open(results / "matting.png") as matting, Image.open(results / "enhanced.png") as enhanced:
        assert matting.mode == "RGBA" and enhanced.width == enhanced.height
    with Image.open(results / "white-bg.png") as white:
        assert white.mode == "RGB"
    ledger = json.loads((results / "ledger.json").read_text())
    assert [(entry["kind"], entry["balance"]) for entry in ledger] == [("charge", 99), ("grant", 100)]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense"])
async def test_the_demo_reports_that_there_is_no_server(tmp_path: Path, url: str) -> None:
    status, _, err = await run_darkroom("demo", "--url", url, cwd=tmp_path)
    assert status == 1 and err.startswith("darkroom: ") and "Traceback" not in err
