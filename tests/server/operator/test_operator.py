"""The operator's commands, beside a server that runs and without one."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from server.operator.socket import SOCKET
from tests.server.commands.test_main import outcome
from tests.support.process import server_process
from tests.support.server import Api

PHONE = "13800138000"


async def command(cwd: Path, *words: str) -> str:
    """What a command says, once it has done what it should."""
    status, out, err = await outcome(*words, "--data", "data", cwd=cwd)
    assert (status, err) == (0, "")
    return out.strip()


async def refused(cwd: Path, *words: str) -> str:
    status, out, err = await outcome(*words, "--data", "data", cwd=cwd)
    assert (status, out) == (1, "") and "Traceback" not in err
    return err.strip()


async def test_commands_work_beside_a_server_and_at_once(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server, aiohttp.ClientSession() as http:
        api = Api(server.base, http)
        person, other = await api.person(PHONE), await api.person("13900139000")
        assert await command(tmp_path, "admin", "list") == ""
        assert await command(tmp_path, "admin", "grant", "+86 138 0013 8000") == f"{PHONE} is an admin now"
        assert await command(tmp_path, "admin", "list") == f"{PHONE}  {person.id}"
        assert (await api.put(f"/api/admin/users/{other.id}/ban", {"banned": True}, who=person)).status == 200
        assert (await api.get("/api/quota", who=other)).status == 401
        assert await command(tmp_path, "admin", "revoke", PHONE) == f"{PHONE} is not an admin any more"
        assert (await api.put(f"/api/admin/users/{other.id}/ban", {"banned": False}, who=person)).status == 403
        assert "signed with key" in await command(tmp_path, "keys", "rotate")
        assert (await api.get("/api/quota", who=person)).status == 200
        assert await command(tmp_path, "user", "ban", PHONE) == f"{PHONE} is banned; sessions ended: 1"
        assert (await api.get("/api/quota", who=person)).status == 401


async def test_commands_work_without_a_server(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server, aiohttp.ClientSession() as http:
        api = Api(server.base, http)
        person, other = await api.person(PHONE), await api.person("13900139000")
    assert await command(tmp_path, "admin", "grant", PHONE) == f"{PHONE} is an admin now"
    assert await command(tmp_path, "admin", "list") == f"{PHONE}  {person.id}"
    assert "signed with key" in await command(tmp_path, "keys", "rotate")
    assert "is banned" in await command(tmp_path, "user", "ban", other.phone)
    async with server_process(tmp_path / "data") as server, aiohttp.ClientSession() as http:
        api = Api(server.base, http)
        assert (await api.get("/api/quota", who=person)).status == 200, "a token from before the rotation"
        assert (await api.get("/api/quota", who=other)).status == 401
        assert (await api.put(f"/api/admin/users/{other.id}/ban", {"banned": False}, who=person)).status == 200


async def test_a_list_may_be_long(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data"):
        pass
    phones = [f"138{number:08}" for number in range(300)]
    with closing(sqlite3.connect(tmp_path / "data" / "darkroom.sqlite3", isolation_level=None)) as connection:
        rows = [(f"{number:032x}", phone) for number, phone in enumerate(phones)]
        connection.executemany("INSERT INTO users (id, phone, created_at, role) VALUES (?, ?, 0, 'admin')", rows)
    alone = await command(tmp_path, "admin", "list")
    async with server_process(tmp_path / "data"):
        assert [line.split()[0] for line in (await command(tmp_path, "admin", "list")).splitlines()] == phones
    assert len(alone.splitlines()) == 300


async def test_a_command_does_what_it_says_and_nothing_by_the_way(tmp_path: Path) -> None:
    """What a server forgets and gives by itself is left to a server."""
    async with server_process(tmp_path / "data") as server, aiohttp.ClientSession() as http:
        await Api(server.base, http).person(PHONE)
        assert await server.end(signal.SIGTERM) == 0
    with closing(sqlite3.connect(tmp_path / "data" / "darkroom.sqlite3", isolation_level=None)) as connection:
        connection.execute("UPDATE sends SET sent_at = 0")
        assert "no wrong codes" in await command(tmp_path, "user", "unlock", PHONE)
        assert connection.execute("SELECT COUNT(*) FROM sends").fetchone() == (4,)


async def test_a_lock_is_lifted(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data", AUTH__FAILURES="1") as server, aiohttp.ClientSession() as http:
        api = Api(server.base, http)
        wrong = f"{(int(await api.code(PHONE)) + 1) % 1_000_000:06}"
        for status in (400, 429):
            assert (await api.post("/api/auth/login", {"phone": PHONE, "code": wrong})).status == status
        assert await command(tmp_path, "user", "unlock", PHONE) == f"{PHONE} can try codes again"
        assert await command(tmp_path, "user", "unlock", PHONE) == f"{PHONE} has no wrong codes"
        assert (await api.person(PHONE)).token


async def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    assert "there is no database in data" in await refused(tmp_path, "admin", "list")
    assert not (tmp_path / "data").exists()
    async with server_process(tmp_path / "data"):
        for words in (("admin", "grant", PHONE), ("user", "ban", PHONE), ("user", "unban", PHONE)):
            assert f"no user has logged in with {PHONE} yet" in await refused(tmp_path, *words)
        assert "is not a mainland China mobile number" in await refused(tmp_path, "admin", "grant", "12345")
    assert f"no user has logged in with {PHONE} yet" in await refused(tmp_path, "admin", "revoke", PHONE)


async def test_a_socket_that_a_killed_server_left_is_in_nobodys_way(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server:
        server.process.kill()
        await server.process.wait()
    assert (tmp_path / "data" / SOCKET).exists()
    assert await command(tmp_path, "admin", "list") == ""
    async with server_process(tmp_path / "data") as server:
        assert await command(tmp_path, "admin", "list") == ""
        assert await server.end(signal.SIGTERM) == 0
    assert not (tmp_path / "data" / SOCKET).exists()


async def test_the_socket_is_its_owners_and_bears_nonsense(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server:
        path = tmp_path / "data" / SOCKET
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for nonsense in (
            b"\n",
            b"[]\n",
            b"{}\n",
            b"null\n",
            b"\xff\n",
            b"{" * 100_000,
            b'{"command": 1, "phone": 2}\n',
        ):
            assert b"done" not in await said(path, nonsense), nonsense
        assert await said(path, b"[" * 4000 + b"\n") == b""
        unknown = json.loads(await said(path, b'{"command": "data drop", "phone": ""}\n'))
        assert "does not know the command 'data drop'" in unknown["failed"]
        assert await command(tmp_path, "admin", "list") == ""
        assert await server.end(signal.SIGTERM) == 0


async def said(path: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(line)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("words", [("admin",), ("user",), ("keys",), ("admin", "grant"), ("keys", "rotate", PHONE)])
async def test_a_command_that_is_not_whole_shows_how_it_goes(tmp_path: Path, words: tuple[str, ...]) -> None:
    status, out, err = await outcome(*words, cwd=tmp_path)
    assert status == 2 and "Usage: " in out + err
