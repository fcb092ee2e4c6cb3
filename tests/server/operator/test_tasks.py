"""The operator's commands about tasks, with and without a running server."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from actors.ids import new_id
from actors.retention import Purge
from server.clock import SystemClock
from server.http.worker_signature import SIGNATURE, TIMESTAMP, sign
from tests.support.invariants import audit_stopped_server
from tests.support.operator import execute_on, facts_on, failure_on
from tests.support.process import run_darkroom
from tests.support.server import SECRETS, TIMEOUT_SECONDS, ApiUser, LocalServer, running_server
from tests.support.uploads import store_picture

NO_WORKERS = {"workers": 0}


async def new_task(server: LocalServer, user: ApiUser) -> str:
    return str((await server.create_task(user, await store_picture(server, user)))["taskId"])


async def new_failed_task(server: LocalServer, user: ApiUser) -> str:
    task_id = await new_task(server, user)
    await execute_on(server.data, "tasks fail", task=task_id, reason="the worker is broken")
    return task_id


async def report(server: LocalServer, task_id: str, **fields: object) -> int:
    """Report as an external worker, and return the HTTP status."""
    path, raw = f"/api/task/{task_id}/status", json.dumps(fields).encode()
    timestamp = str(server.clock.now() // 1000)
    signature = sign(SECRETS["internal"].encode(), timestamp, "PUT", path, raw)
    return (await server.put(path, raw=raw, headers={TIMESTAMP: timestamp, SIGNATURE: signature})).status


async def ids(server: LocalServer, **arguments: object) -> list[str]:
    return [task["id"] for task in await facts_on(server.data, "tasks list", **arguments)]


async def details_with(server: LocalServer, task_id: str, kind: str) -> Any:
    """Return the details of a task when it has a transition of this kind. Polls, because the history has no events."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            details = await facts_on(server.data, "tasks show", task=task_id)
            if kind in [step["kind"] for step in details["history"]]:
                return details


async def test_the_list_has_unfinished_tasks_the_oldest_first_and_failed_ones_the_newest_first(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        one, two = await server.new_member(), await server.new_member()
        failed = [await new_failed_task(server, user) for user in (one, two)]
        held, waiting, last = [await new_task(server, user) for user in (one, two, one)]
        assert await report(server, held, status="processing", progress=40) == 200
        assert await ids(server) == await ids(server, status="open") == [held, waiting, last]
        assert await ids(server, limit=1) == [held]
        assert await ids(server, status="failed") == failed[::-1]
        assert await ids(server, status="all") == [last, waiting, held, *failed[::-1]]
        assert await ids(server, status="all", limit=2) == [last, waiting]
        assert await ids(server, status="all", user=one.phone) == [last, held, failed[0]]
        assert await ids(server, status="failed", user=two.phone) == [failed[1]]
        assert await ids(server, user=two.phone) == await ids(server, user=f"+86 {two.phone}") == [waiting]
        assert await ids(server, type="basic_clean") == [held, waiting, last]
        assert [await ids(server, status=status, type="other") for status in ("open", "failed", "all")] == [[], [], []]


async def test_a_deleted_task_is_in_no_list_but_can_still_be_shown(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        user = await server.new_member()
        url = await store_picture(server, user)
        task_id, other = [(await server.create_task(user, url))["taskId"] for _ in range(2)]
        await execute_on(server.data, "tasks fail", task=task_id, reason="a test")
        assert (await server.call("DELETE", f"/api/task/{task_id}", user=user)).status == 200
        for user_only in ({}, {"user": user.phone}):
            assert await ids(server, status="failed", **user_only) == []
            assert await ids(server, status="all", **user_only) == [other]
        details = await facts_on(server.data, "tasks show", task=task_id)
        assert (details["status"], details["deletedAt"]) == ("failed", "2026-11-23T08:00:00.000Z")
        assert "deleted by its user at 2026-11-23 08:00:00" in await execute_on(server.data, "tasks show", task=task_id)
        assert "its input picture was deleted" in await failure_on(
            server.data, "tasks retry", task=task_id, reason="a test"
        )


async def test_the_list_is_a_table_with_the_phone_the_holder_and_the_reason(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        user = await server.new_member()
        assert await execute_on(server.data, "tasks list") == "no open tasks match"
        held, other = await new_task(server, user), await new_task(server, user)
        assert await report(server, held, status="processing", progress=40) == 200
        server.clock.advance(seconds=180)
        header, first, *rest = (await execute_on(server.data, "tasks list", limit=1)).splitlines()
        assert rest == ["only the first 1 are shown; --limit shows more"]
        created = "basic_clean  processing  outside  1         40 %      2026-11-23 08:00:00  3 min  -"
        assert first == f"{held}  {user.phone}  {created}"
        assert header.index("HOLDER") == first.index("outside")
        await execute_on(server.data, "tasks fail", task=other, reason="机器断网")
        (failed,) = (await execute_on(server.data, "tasks list", status="failed")).splitlines()[1:]
        assert failed.endswith("机器断网")


async def test_the_details_have_each_attempt_with_its_holder_and_reason_and_the_money(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data") as server:
        user = await server.new_member()
        shutil.rmtree(server.data / "work")  # so that the attempt of this server breaks off
        task_id = await new_task(server, user)
        await details_with(server, task_id, "interrupted")
        server.clock.advance(seconds=1)
        assert await report(server, task_id, status="processing") == 200
        server.clock.advance(seconds=1)
        assert await report(server, task_id, status="failed", errorMessage="缺显存", attempt=2) == 200
        details = await facts_on(server.data, "tasks show", task=task_id)
        text = await execute_on(server.data, "tasks show", task=task_id)
    claimed, interrupted, taken_over, failed = details["history"]
    assert claimed | {"at": ""} == {"at": "", "kind": "claimed", "attempt": 1, "holder": "here", "reason": None}
    assert (interrupted["kind"], interrupted["attempt"], interrupted["holder"]) == ("interrupted", 1, "here")
    assert "FileNotFoundError" in interrupted["reason"]
    assert taken_over == {
        **{"at": "2026-11-23T08:00:01.000Z", "kind": "taken_over", "attempt": 2, "holder": "outside", "reason": None}
    }
    assert failed == {
        **{"at": "2026-11-23T08:00:02.000Z", "kind": "failed", "attempt": 2, "holder": "outside", "reason": "缺显存"}
    }
    assert [(entry["kind"], entry["amount"], entry["balance"]) for entry in details["ledger"]] == [
        *(("charge", -1, 99), ("refund", 1, 100))
    ]
    assert (details["attempts"], details["interruptions"], details["phone"]) == (2, 1, user.phone)
    lines = [line.split() for line in text.splitlines()]
    assert ["2026-11-23", "08:00:02", "failed", "2", "outside", "缺显存"] in lines
    assert ["2026-11-23", "08:00:02", "refund", "+1", "100", "-"] in lines


async def test_a_failed_task_is_refunded_its_user_sees_the_reason_and_its_attempt_ends(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        user = await server.new_member()
        task_id = await new_task(server, user)
        assert await report(server, task_id, status="processing") == 200
        output = await execute_on(server.data, "tasks fail", task=task_id, reason="  机器断网  ")
        assert output == f"task {task_id} has failed, and its user got the cost back"
        task = (await server.get(f"/api/task/{task_id}", user=user)).data
        assert (task["status"], task["errorMessage"]) == ("failed", "机器断网")
        assert await report(server, task_id, status="success", resultUrls=["https://e.test/a.png"], attempt=1) == 409
        assert await server.ledger(user) == [("grant", 100, 100), ("charge", -1, 99), ("refund", 1, 100)]
        assert "has ended already (failed)" in await failure_on(
            server.data, "tasks fail", task=task_id, reason="once more"
        )


async def test_cancel_refunds_a_waiting_task_and_names_the_way_out_for_one_that_is_carried_out(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        user = await server.new_member()
        waiting, held = await new_task(server, user), await new_task(server, user)
        cancelled = await facts_on(server.data, "tasks cancel", task=waiting)
        assert (cancelled["status"], cancelled["reason"]) == ("failed", "cancelled")
        assert await server.remaining(user) == 99
        assert await report(server, held, status="processing") == 200
        assert f"`darkroom tasks fail {held} --reason …`" in await failure_on(server.data, "tasks cancel", task=held)
        assert "has ended already (failed)" in await failure_on(server.data, "tasks cancel", task=waiting)


async def test_a_retry_is_a_new_task_that_the_operator_pays_for(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        user = await server.new_member()
        failed = await new_failed_task(server, user)
        retried = await facts_on(server.data, "tasks retry", task=failed, reason="机器断网")
        assert retried | {"id": ""} == {"id": "", "retryOf": failed, "cost": 1, "balance": 100, "otherRetries": []}
        old, new = [(await server.get(f"/api/task/{id}", user=user)).data for id in (failed, retried["id"])]
        assert (new["status"], new["type"], new["params"]) == ("pending", old["type"], old["params"])
        assert new["inputImageUrl"] == old["inputImageUrl"]
        assert (await server.ledger(user))[3:] == [("adjust", 1, 101), ("charge", -1, 100)]
        details = await facts_on(server.data, "tasks show", task=retried["id"])
        assert (details["retryOf"], details["ledger"][0]["reason"]) == (failed, f"retry of task {failed}: 机器断网")
        assert (await facts_on(server.data, "tasks show", task=failed))["retries"] == [retried["id"]]
        assert f"retry of  {failed}" in await execute_on(server.data, "tasks show", task=retried["id"])
    await audit_stopped_server(tmp_path / "data")


async def test_a_second_retry_of_a_task_warns_and_names_the_first(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        failed = await new_failed_task(server, await server.new_member())
        assert "warning" not in await execute_on(server.data, "tasks retry", task=failed, reason="the first")
        (first,) = await ids(server)
        output = await execute_on(server.data, "tasks retry", task=failed, reason="the second")
        assert f"warning: task {failed} has been retried before, by {first};" in output
        assert len(await ids(server)) == 2


async def test_the_workers_carry_out_a_retry(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data") as server:
        user = await server.new_member()
        failed = await new_task(server, user)
        assert (await server.wait_until_finished(user, failed))["status"] == "failed"  # the upload is no picture
        retried = await facts_on(server.data, "tasks retry", task=failed, reason="a test")
        assert (await server.wait_until_finished(user, retried["id"]))["status"] == "failed"
        shown = await execute_on(server.data, "tasks show", task=failed)
        assert "failed: The picture cannot be read; upload it again" in shown


async def test_a_user_whose_membership_has_ended_can_get_a_retry(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks={"workers": 0, "failed_input_days": 60}) as server:
        user = await server.new_member()
        failed = await new_failed_task(server, user)
        server.clock.advance(days=40)
        retried = await facts_on(server.data, "tasks retry", task=failed, reason="a test")
        assert retried["balance"] == await server.remaining(await server.log_in(user.phone)) == 0
        assert await ids(server) == [retried["id"]]


@pytest.mark.parametrize("status", ["pending", "success"])
async def test_only_a_failed_task_is_retried(tmp_path: Path, status: str) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        user = await server.new_member()
        task_id = await new_task(server, user)
        if status == "success":
            assert await report(server, task_id, status="success", resultUrls=["https://e.test/a.png"]) == 200
        before = await server.ledger(user)
        refusal = await failure_on(server.data, "tasks retry", task=task_id, reason="a test")
        assert refusal == (f"task {task_id} cannot be retried, because only a failed task can; its status is {status}")
        assert (await server.ledger(user), await ids(server, status="all")) == (before, [task_id])


async def test_a_retry_without_the_input_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        user = await server.new_member()
        failed = await new_failed_task(server, user)
        server.clock.advance(days=8)
        await server.system._tasks.ask(Purge())
        user = await server.log_in(user.phone)
        before = await server.ledger(user)
        assert "its input picture was deleted" in await failure_on(
            server.data, "tasks retry", task=failed, reason="a test"
        )
        assert (await server.ledger(user), await ids(server, status="all")) == (before, [failed])


async def test_the_input_of_a_retry_is_kept_while_the_retry_needs_it(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        user = await server.new_member()
        failed = await new_failed_task(server, user)
        await execute_on(server.data, "tasks retry", task=failed, reason="a test")
        server.clock.advance(days=8)
        await server.system._tasks.ask(Purge())
        details = await facts_on(server.data, "tasks show", task=failed)
        assert (server.data / "pictures" / details["inputKey"]).is_file()


async def test_a_wrong_argument_is_named_with_what_to_do(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        unknown = new_id()
        for command in ("show", "cancel", "fail", "retry"):
            reason = {"reason": "a test"} if command in ("fail", "retry") else {}
            refusal = await failure_on(server.data, f"tasks {command}", task=unknown, **reason)
            assert refusal == f"there is no task {unknown}; `darkroom tasks list --status all` shows the ids"
        for command in ("tasks fail", "tasks retry"):
            assert "give it with --reason" in await failure_on(server.data, command, task=unknown, reason=" ")
            for wrong in ("two\nlines", "r" * 401):
                assert "'reason'" in await failure_on(server.data, command, task=unknown, reason=wrong)
        assert "not a mainland China mobile number" in await failure_on(server.data, "tasks list", user="123")
        assert "no user has logged in" in await failure_on(server.data, "tasks list", user="13800138000")


async def test_the_commands_work_without_a_server(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        user = await server.new_member()
        tasks = [await new_task(server, user) for _ in range(3)]
    data = tmp_path / "data"
    assert [task["id"] for task in await facts_on(data, "tasks list")] == tasks
    assert (await facts_on(data, "tasks cancel", task=tasks[0]))["status"] == "failed"
    assert (await facts_on(data, "tasks fail", task=tasks[1], reason="a test"))["reason"] == "a test"
    retried = await facts_on(data, "tasks retry", task=tasks[0], reason="a test")
    assert (await facts_on(data, "tasks show", task=retried["id"]))["retryOf"] == tasks[0]
    with closing(sqlite3.connect(data / "darkroom.sqlite3")) as connection:
        turn = connection.execute("SELECT turn FROM tasks WHERE id = ?", (retried["id"],)).fetchone()
    assert turn == (3,), "the turn after that of the third task, which is still waiting"
    shutil.rmtree(data / "pictures")
    assert "its input picture was deleted" in await failure_on(data, "tasks retry", task=tasks[1], reason="a test")
    assert await audit_stopped_server(data) == {*tasks, retried["id"]}


async def test_the_command_line_gives_the_arguments_and_the_exit_status(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data", tasks=NO_WORKERS) as server:
        task_id = await new_task(server, await server.new_member())
        status, out, err = await run_darkroom("tasks", "list", "--limit", "1", "--json", "--data", "data", cwd=tmp_path)
        assert (status, [task["id"] for task in json.loads(out)], err) == (0, [task_id], "")
        fail = ("tasks", "fail", task_id, "--reason", "机器断网", "--data", "data")
        assert await run_darkroom(*fail, cwd=tmp_path) == (
            *(0, f"task {task_id} has failed, and its user got the cost back\n", ""),
        )
    status, out, err = await run_darkroom(*fail, cwd=tmp_path)
    assert (status, out) == (1, "") and err.startswith(f"darkroom: task {task_id} has ended already (failed)")
    status, out, err = await run_darkroom("tasks", "list", "--limit", "1001", "--data", "data", cwd=tmp_path)
    assert status == 2 and "1001 is not in the range 1<=x<=1000" in err


async def test_without_a_server_a_retry_is_created_by_the_clock_of_its_folder(tmp_path: Path) -> None:
    """The clock of the sandbox was moved by ten days; by the machine's clock the task would have waited too long."""
    data = tmp_path / "data"
    async with running_server(data, tasks=NO_WORKERS) as server:
        failed = await new_failed_task(server, await server.new_member())
    (data / "sandbox" / "clock.json").write_text('{"offsetSeconds": 864000}')
    status, out, err = await run_darkroom(
        "tasks", "retry", failed, "--reason", "a test", "--data", "data", cwd=tmp_path
    )
    assert (status, err) == (0, ""), out
    with closing(sqlite3.connect(data / "darkroom.sqlite3")) as connection:
        ((created_at,),) = connection.execute("SELECT created_at FROM tasks WHERE retry_of = ?", (failed,))
    assert created_at > SystemClock().now() + 9 * 86_400_000
    (data / "sandbox" / "clock.json").write_text("damaged")
    status, out, err = await run_darkroom("tasks", "list", "--data", "data", cwd=tmp_path)
    assert (status, out) == (1, "") and "clock.json" in err and "Traceback" not in err
