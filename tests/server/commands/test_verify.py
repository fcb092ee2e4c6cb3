"""`darkroom verify` as a process, over a data folder with and without a running server."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.corruption import CORRUPTIONS, connect_unchecked, create_seeded_database, damage_page
from tests.support.pictures import shirt
from tests.support.process import http_client, run_darkroom, server_process
from tests.support.server import Api

SOUND, BROKEN, NOT_AUDITED = 0, 1, 2


async def test_a_sound_folder(tmp_path: Path) -> None:
    create_seeded_database(tmp_path / "data")
    status, out, err = await run_darkroom("verify", "--data", "data", cwd=tmp_path)
    assert (status, err) == (SOUND, "")
    assert out == "data is sound: checked 40 users, 624 ledger entries, 520 tasks and 48 orders\n"


async def test_the_data_folder_comes_from_the_settings_or_from_the_option(tmp_path: Path) -> None:
    create_seeded_database(tmp_path / "there")
    (tmp_path / "some.toml").write_text('data = "there"')
    assert (await run_darkroom("verify", "--config", "some.toml", cwd=tmp_path))[0] == SOUND
    (tmp_path / "config.toml").write_text('mode = "production"')
    assert (await run_darkroom("verify", "--data", "there", cwd=tmp_path))[0] == SOUND, "a backup needs no secrets"
    assert not (tmp_path / "there" / "secrets").exists()


async def test_a_corrupted_row_is_named(tmp_path: Path) -> None:
    corruption = CORRUPTIONS[0]  # tests/storage/test_audit.py has them all
    violating_id = corruption.apply(create_seeded_database(tmp_path / "data"))
    status, out, err = await run_darkroom("verify", "--data", "data", cwd=tmp_path)
    assert status == BROKEN
    assert f"violated rule: {corruption.rule} (" in out and violating_id in out, out
    assert "darkroom: data is not sound" in err and "Traceback" not in err


async def test_a_damaged_page_is_reported_without_a_traceback(tmp_path: Path) -> None:
    damage_page(create_seeded_database(tmp_path / "data"))
    status, out, err = await run_darkroom("verify", "--data", "data", cwd=tmp_path)
    assert (status, "quick_check" in out, "Traceback" in err) == (BROKEN, True, False)


async def test_a_damaged_schema_is_reported_without_a_traceback(tmp_path: Path) -> None:
    with closing(connect_unchecked(create_seeded_database(tmp_path / "data"))) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE TABLE ledger (' WHERE name = 'ledger'")
    status, out, err = await run_darkroom("verify", "--data", "data", cwd=tmp_path)
    assert (status, "malformed" in out, "Traceback" in err) == (BROKEN, True, False)


async def test_only_the_first_hundred_violations_are_listed(tmp_path: Path) -> None:
    with closing(connect_unchecked(create_seeded_database(tmp_path / "data"))) as connection:
        connection.execute("DELETE FROM ledger WHERE kind = 'charge'")
    _, out, _ = await run_darkroom("verify", "--data", "data", cwd=tmp_path)
    assert out.count("this user has 0 charges for it") == 100 and "\n  and 420 more\n" in out


async def test_a_folder_that_was_never_served(tmp_path: Path) -> None:
    status, _, err = await run_darkroom("verify", cwd=tmp_path)
    assert status == NOT_AUDITED and "there is no database in data" in err and "--data" in err
    assert list(tmp_path.iterdir()) == [], "and nothing was made there"


async def test_what_is_no_database_or_a_newer_one(tmp_path: Path) -> None:
    path = create_seeded_database(tmp_path / "data")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=999")
    status, _, err = await run_darkroom("verify", cwd=tmp_path)
    assert status == NOT_AUDITED and "schema version 999" in err
    path.write_bytes(b"a letter to a friend" * 1000)
    status, _, err = await run_darkroom("verify", cwd=tmp_path)
    assert status == NOT_AUDITED and "is not a database" in err


async def test_beside_a_server_that_writes(tmp_path: Path) -> None:
    """All is sound at every moment, and the server notices nothing."""
    data, done = tmp_path / "data", asyncio.Event()
    async with http_client() as http, server_process(data, TASKS__WORKERS="0") as server:
        api = Api(server.base, http)
        members = [await api.new_member() for _ in range(8)]
        urls = [await api.upload(member, shirt(64)) for member in members]

        async def write(number: int) -> int:
            """Create and buy, again and again; how often."""
            rounds = 0
            while not done.is_set():
                await api.create_task(members[number], urls[number])
                order = (await api.post("/api/membership/purchase", {"channel": "wx"}, user=members[number])).data
                await api.post("/sandbox/pay", {"orderId": order["orderId"]})
                rounds += 1
            return rounds

        writers = asyncio.gather(*map(write, range(len(members))))
        audits = [await run_darkroom("verify", "--data", "data", cwd=tmp_path) for _ in range(3)]
        done.set()
        assert min(await writers) > 1
        assert await server.end(signal.SIGTERM) == 0
    assert [(status, err) for status, _, err in audits] == [(SOUND, "")] * 3
    assert len({out for _, out, _ in audits}) > 1, "there was more to check each time"


async def test_after_a_kill_what_is_in_the_wal_only_is_audited_and_left_there(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http, server_process(data, TASKS__WORKERS="0") as server:
        api = Api(server.base, http)
        member = await api.new_member()
        await api.create_task(member, await api.upload(member, shirt(64)))
        await server.end(signal.SIGKILL)
    files = [data / "darkroom.sqlite3", data / "darkroom.sqlite3-wal"]
    before = [file.read_bytes() for file in files]
    assert before[1], "or nothing was left to be replayed"
    status, out, _ = await run_darkroom("verify", "--data", "data", cwd=tmp_path)
    assert status == SOUND and "1 users, 2 ledger entries, 1 tasks and 1 orders" in out
    assert [file.read_bytes() for file in files] == before
    async with server_process(data, TASKS__WORKERS="0") as server:
        assert await server.end(signal.SIGTERM) == 0
