"""The operator's commands, with and without a running server."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import stat
from contextlib import chdir, closing
from pathlib import Path

import aiohttp
import pytest

from server.operator.command import OperatorFailed
from server.operator.commands import OperatorRequest
from server.operator.socket import SOCKET, send_to_server
from tests.support.operator import execute_on, failure_on
from tests.support.process import run_darkroom, server_process
from tests.support.server import Api

PHONE = "13800138000"


async def command(cwd: Path, *words: str) -> str:
    """Run a command that succeeds and return its output."""
    status, out, err = await run_darkroom(*words, "--data", "data", cwd=cwd)
    assert (status, err) == (0, "")
    return out.strip()


async def failing_command(cwd: Path, *words: str) -> str:
    status, out, err = await run_darkroom(*words, "--data", "data", cwd=cwd)
    assert (status, out) == (1, "") and "Traceback" not in err
    return err.strip()


async def execute_here(cwd: Path, *words: str) -> str:
    """Execute a command on the folder `data` in `cwd`, whose path is short as an operator's usually is."""
    with chdir(cwd):
        return await execute_on(Path("data"), " ".join(words[:2]), **dict(zip(["phone"], words[2:], strict=False)))


async def failure_here(cwd: Path, *words: str) -> str:
    return await failure_on(cwd / "data", " ".join(words[:2]), **dict(zip(["phone"], words[2:], strict=False)))


async def test_commands_take_effect_at_once_while_a_server_runs(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server, aiohttp.ClientSession() as http:
        api = Api(server.base, http)
        user, other = await api.new_user(PHONE), await api.new_user("13900139000")
        assert await command(tmp_path, "admin", "list") == ""
        assert await command(tmp_path, "admin", "grant", "+86 138 0013 8000") == f"{PHONE} is an admin now"
        assert await command(tmp_path, "admin", "list") == f"{PHONE}  {user.id}"
        assert (await api.put(f"/api/admin/users/{other.id}/ban", {"banned": True}, user=user)).status == 200
        assert (await api.get("/api/quota", user=other)).status == 401
        assert await command(tmp_path, "admin", "revoke", PHONE) == f"{PHONE} is not an admin any more"
        assert (await api.put(f"/api/admin/users/{other.id}/ban", {"banned": False}, user=user)).status == 403
        assert "signed with key" in await command(tmp_path, "keys", "rotate")
        assert (await api.get("/api/quota", user=user)).status == 200
        assert await command(tmp_path, "user", "ban", PHONE) == f"{PHONE} is banned; sessions ended: 1"
        assert (await api.get("/api/quota", user=user)).status == 401


async def test_commands_work_without_a_server(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server, aiohttp.ClientSession() as http:
        api = Api(server.base, http)
        user, other = await api.new_user(PHONE), await api.new_user("13900139000")
    assert await command(tmp_path, "admin", "grant", PHONE) == f"{PHONE} is an admin now"
    assert await execute_here(tmp_path, "admin", "list") == f"{PHONE}  {user.id}"
    assert "signed with key" in await execute_here(tmp_path, "keys", "rotate")
    assert "is banned" in await execute_here(tmp_path, "user", "ban", other.phone)
    async with server_process(tmp_path / "data") as server, aiohttp.ClientSession() as http:
        api = Api(server.base, http)
        assert (await api.get("/api/quota", user=user)).status == 200, "a token from before the rotation"
        assert (await api.get("/api/quota", user=other)).status == 401
        assert (await api.put(f"/api/admin/users/{other.id}/ban", {"banned": False}, user=user)).status == 200


async def test_a_list_may_have_hundreds_of_lines(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data"):
        pass
    phones = [f"138{number:08}" for number in range(300)]
    with closing(sqlite3.connect(tmp_path / "data" / "darkroom.sqlite3", isolation_level=None)) as connection:
        rows = [(f"{number:032x}", phone) for number, phone in enumerate(phones)]
        connection.executemany("INSERT INTO users (id, phone, created_at, role) VALUES (?, ?, 0, 'admin')", rows)
    alone = await execute_here(tmp_path, "admin", "list")
    async with server_process(tmp_path / "data"):
        assert [line.split()[0] for line in (await execute_here(tmp_path, "admin", "list")).splitlines()] == phones
    assert len(alone.splitlines()) == 300


async def test_a_command_does_no_periodic_work_of_a_server(tmp_path: Path) -> None:
    """Only a server purges rows and grants gifts."""
    async with server_process(tmp_path / "data") as server, aiohttp.ClientSession() as http:
        await Api(server.base, http).new_user(PHONE)
        assert await server.end(signal.SIGTERM) == 0
    with closing(sqlite3.connect(tmp_path / "data" / "darkroom.sqlite3", isolation_level=None)) as connection:
        connection.execute("UPDATE sends SET sent_at = 0")
        assert "no wrong codes" in await execute_here(tmp_path, "user", "unlock", PHONE)
        assert connection.execute("SELECT COUNT(*) FROM sends").fetchone() == (4,)


async def test_unlock_lets_a_locked_phone_try_codes_again(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data", AUTH__FAILURES="1") as server, aiohttp.ClientSession() as http:
        api = Api(server.base, http)
        wrong = f"{(int(await api.request_code(PHONE)) + 1) % 1_000_000:06}"
        for status in (400, 429):
            assert (await api.post("/api/auth/login", {"phone": PHONE, "code": wrong})).status == status
        assert await execute_here(tmp_path, "user", "unlock", PHONE) == f"{PHONE} can try codes again"
        assert await execute_here(tmp_path, "user", "unlock", PHONE) == f"{PHONE} has no wrong codes"
        assert (await api.new_user(PHONE)).token


async def test_a_failing_command_says_why(tmp_path: Path) -> None:
    assert "there is no database in data" in await failing_command(tmp_path, "admin", "list")
    assert not (tmp_path / "data").exists()
    async with server_process(tmp_path / "data"):
        for words in (("admin", "grant", PHONE), ("user", "ban", PHONE), ("user", "unban", PHONE)):
            assert f"no user has logged in with {PHONE} yet" in await failure_here(tmp_path, *words)
        assert "is not a mainland China mobile number" in await failure_here(tmp_path, "admin", "grant", "12345")
    assert f"no user has logged in with {PHONE} yet" in await failing_command(tmp_path, "admin", "revoke", PHONE)


async def test_the_socket_of_a_killed_server_does_no_harm(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server:
        server.process.kill()
        await server.process.wait()
    assert (tmp_path / "data" / SOCKET).exists()
    assert await execute_here(tmp_path, "admin", "list") == ""
    async with server_process(tmp_path / "data") as server:
        assert await execute_here(tmp_path, "admin", "list") == ""
        assert await server.end(signal.SIGTERM) == 0
    assert not (tmp_path / "data" / SOCKET).exists()


async def test_the_socket_is_private_and_survives_invalid_requests(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server:
        path = tmp_path / "data" / SOCKET
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for invalid in (
            b"\n",
            b"[]\n",
            b"{}\n",
            b"null\n",
            b"\xff\n",
            b"{" * 100_000,
            b'{"command": 1, "phone": 2}\n',
        ):
            assert b"done" not in await response_to(path, invalid), invalid
        assert await response_to(path, b"[" * 4000 + b"\n") == b""
        unknown = json.loads(await response_to(path, b'{"command": "data drop", "phone": ""}\n'))
        assert "does not know the command 'data drop'" in unknown["failed"]
        assert await execute_here(tmp_path, "admin", "list") == ""
        assert await server.end(signal.SIGTERM) == 0


async def test_both_ends_of_the_socket_understand_a_former_version(tmp_path: Path) -> None:
    path = tmp_path / "data" / SOCKET
    async with server_process(tmp_path / "data"):
        with chdir(tmp_path):
            path = Path("data") / SOCKET
            listed = json.loads(await response_to(path, b'{"command": "admin list", "phone": ""}\n'))
            assert listed["done"] == ""
            banned = json.loads(await response_to(path, b'{"command": "user ban", "phone": "%s"}\n' % PHONE.encode()))
            assert banned == {"failed": f"no user has logged in with {PHONE} yet"}
            unnamed = json.loads(await response_to(path, b'{"command": "user ban", "phone": ""}\n'))
            assert "'phone'" in unnamed["failed"]


async def test_a_server_of_a_former_version_gets_the_phone_and_cannot_give_json(tmp_path: Path) -> None:
    requests = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(json.loads(await reader.readline()))
        writer.write(b'{"done": "an old server says so"}\n')
        writer.close()

    with chdir(tmp_path):
        async with await asyncio.start_unix_server(answer, SOCKET):
            request = OperatorRequest("user ban", {"phone": PHONE})
            assert await send_to_server(Path(), request) == "an old server says so"
            assert (requests[0]["command"], requests[0]["phone"]) == ("user ban", PHONE)
            with pytest.raises(OperatorFailed, match="too old for --json; it says: an old server says so"):
                await send_to_server(Path(), OperatorRequest("admin list", {}, as_json=True))


async def test_a_server_names_an_argument_that_it_does_not_know(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data"):
        with chdir(tmp_path), pytest.raises(OperatorFailed, match="does not know the argument 'since'"):
            await send_to_server(Path("data"), OperatorRequest("tasks list", {"since": "2026"}))


async def response_to(path: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(line)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "words",
    [
        *(("admin",), ("user",), ("keys",), ("tasks",)),
        *(("admin", "grant"), ("keys", "rotate", PHONE), ("tasks", "show"), ("tasks", "retry", "some task")),
    ],
)
async def test_an_incomplete_command_shows_its_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    status, out, err = await run_darkroom(*words, cwd=tmp_path)
    assert status == 2 and "Usage: " in out + err
