"""Every stored and exported name of the former version still has its meaning."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.settings.load import load
from storage.engine.database import Database
from tests.support.former_version import (
    FIXTURE,
    Exchange,
    Mask,
    as_environment,
    exported_metrics,
    read_fixture,
    restore,
    setting_rows,
    stored_names,
    without_new_fields,
)
from tests.support.invariants import audit_stopped_server
from tests.support.process import run_darkroom
from tests.support.server import ApiUser, LocalServer, ManualClock, running_server

FACTS = read_fixture("facts.json")


@asynccontextmanager
async def serving(data: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[LocalServer]:
    """Serve the former version's folder with the secrets in it. The clock shows the time of the recording."""
    restore(data)
    monkeypatch.chdir(data.parent)  # there is no config.toml
    secrets = dict(load(None, {"data": data}, generate=False).settings.secrets)
    async with running_server(
        data, ManualClock(FACTS["now"]), **FACTS["settings"] | settings, secrets=secrets
    ) as server:
        yield server


async def test_the_responses_are_those_of_the_former_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The requests read, repeat idempotency keys, use tokens, the sandbox's inbox and its trades, and write new rows.

    A response may have new fields; those of the former version keep their names and values. One response is different
    on purpose: pictures are deleted now, and a repeated key is answered after its picture was deleted.
    Afterwards the names in the rows and in the metrics are compared too.
    """
    dump = (FIXTURE / "database.sql").read_text("utf-8")
    async with serving(tmp_path / "data", monkeypatch) as server:
        mask = Mask(server.base, dump, FACTS["now"])
        for recorded in read_fixture("exchanges.json"):
            exchange = Exchange(**recorded)
            response = mask.apply(await exchange.send(server, FACTS["tokens"]))
            if (exchange.headers or {}).get("Idempotency-Key") == "task-gone":
                assert (exchange.response["status"], response["status"]) == (404, 200)
                continue
            response = without_new_fields(response, exchange.response)
            assert response == exchange.response, f"{exchange.caller}: {exchange.method} {exchange.path}"
        exported = exported_metrics((await server.get("/metrics")).raw.decode())
    await audit_stopped_server(tmp_path / "data")
    assert stored_names(tmp_path / "data") == read_fixture("stored_names.json")
    for name, labels in read_fixture("metrics.json").items():
        assert name in exported
        for label, values in labels.items():
            assert set(values) <= set(exported[name].get(label, ())), f"{name}: {label}"


async def test_unfinished_tasks_are_completed_and_charged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them was in progress when the former process died."""
    async with serving(tmp_path / "data", monkeypatch, tasks={"workers": 1}) as server:
        for caller, task_id in FACTS["unfinished"]:
            user = ApiUser("", "", FACTS["tokens"][caller])
            assert (await server.wait_until_finished(user, task_id))["status"] == "success"
            references = [entry["reference"] for entry in await _entries(server, user)]
            assert references.count(task_id) == 1
    await audit_stopped_server(tmp_path / "data")


async def _entries(server: LocalServer, user: ApiUser) -> Any:
    return (await server.get("/api/quota/ledger?limit=100", user=user)).data["entries"]


async def test_verify_finds_no_violations(tmp_path: Path) -> None:
    restore(tmp_path / "data")
    await (await Database.open(tmp_path / "data")).close()  # this migrates it, as the first start does
    status, out, err = await run_darkroom("verify", "--data", "data", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert re.findall("[0-9]+", out) == re.findall("[0-9]+", FACTS["verified"]), "the numbers of checked rows"


async def test_every_setting_and_every_default_is_unchanged(tmp_path: Path) -> None:
    settings = read_fixture("settings.json")
    defaults, every_row = ({tuple(row) for row in settings[name]} for name in ("defaults", "every_row"))
    status, out, err = await run_darkroom("config", cwd=tmp_path)
    assert (status, defaults - setting_rows(out)) == (0, set()), err
    status, out, err = await run_darkroom("config", cwd=tmp_path, **as_environment(settings["every_setting"]))
    assert (status, every_row - setting_rows(out)) == (0, set()), err
    shutil.copyfile(FIXTURE / "config.toml", tmp_path / "config.toml")
    status, out, err = await run_darkroom("config", cwd=tmp_path)
    assert (status, defaults - setting_rows(out)) == (0, set()), err
