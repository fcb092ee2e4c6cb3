"""A server that is killed loses nothing it has answered, and carries on where it was."""

from __future__ import annotations

import signal
from pathlib import Path

from storage.engine.database import Database
from tests.support.invariants import audit_and_close
from tests.support.pictures import shirt
from tests.support.process import http_client, server_process
from tests.support.server import Api


async def test_after_a_kill_everything_that_was_answered_is_there(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data, TASKS__WORKERS="0") as server:
            api = Api(server.base, http)
            member = await api.new_member()
            image_url = await api.upload(member, shirt())
            created = [await api.create_task(member, image_url) for _ in range(5)]
            unpaid = (await api.post("/api/membership/purchase", {"channel": "alipay"}, user=member)).data
            await server.end(signal.SIGKILL)

        async with server_process(data, TASKS__WORKERS="0") as server:
            api = Api(server.base, http)
            assert await api.remaining(member) == 95, "the token is still good, too"
            listed = (await api.get("/api/task/list", user=member)).data["tasks"]
            assert [task["id"] for task in listed] == [answer["taskId"] for answer in reversed(created)]
            assert (await api.post("/sandbox/pay", {"orderId": unpaid["orderId"]})).data["state"] == "paid"
            assert await api.remaining(member) == 195
            assert await server.end(signal.SIGTERM) == 0
    await check_sums(data)


async def test_a_task_that_was_under_way_is_made_again_and_charged_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data) as server:
            api = Api(server.base, http)
            member = await api.new_member()
            created = await api.create_task(member, await api.upload(member, shirt(3000)))
            task = await api.wait_for_status(member, created["taskId"], "processing", "success")
            assert task["status"] == "processing", "the kill has to come while the picture is being made"
            await server.end(signal.SIGKILL)

        async with server_process(data) as server:
            api = Api(server.base, http)
            task = await api.wait_until_finished(member, created["taskId"])
            assert task["status"] == "success" and len(task["resultUrls"]) == 3
            assert await api.ledger(member) == [("grant", 100, 100), ("charge", -1, 99)]
            assert not any((data / "work").iterdir()), "the killed server's unfinished pictures are swept away"
    await check_sums(data)


async def test_a_payment_made_while_the_server_was_down_is_credited(tmp_path: Path) -> None:
    """The gateway's books say paid, its notification met nobody: asking about the order brings the grant."""
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data) as server:
            api = Api(server.base, http)
            person = await api.new_user()
            order_id = (await api.post("/api/membership/purchase", {"channel": "wx"}, user=person)).data["orderId"]
            await server.end(signal.SIGKILL)
        book = data / "sandbox" / "trades" / f"{order_id}.json"
        paid = book.read_text().replace('"unpaid"', '"paid"').replace('"transaction_id": ""', '"transaction_id": "t1"')
        book.write_text(paid)
        async with server_process(data) as server:
            api = Api(server.base, http)
            order = (await api.get(f"/api/membership/orders/{order_id}", user=person)).data
            assert (order["status"], order["transactionId"]) == ("paid", "t1")
            assert await api.remaining(person) == 100
    await check_sums(data)


async def check_sums(data: Path) -> set[str]:
    """The ids of the tasks that a stopped server's database holds, once its sums are right."""
    database = await Database.open(data)
    kept = await database.read(lambda c: {task_id for (task_id,) in c.execute("SELECT id FROM tasks")})
    await audit_and_close(database)
    return kept
