"""A killed server loses nothing of what it has confirmed, and continues its work after a restart."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.invariants import audit_stopped_server
from tests.support.pictures import shirt
from tests.support.process import http_client, server_process
from tests.support.server import Api


async def test_everything_the_server_confirmed_survives_a_kill(tmp_path: Path) -> None:
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
            assert await api.remaining(member) == 95, "the token is still valid, too"
            listed = (await api.get("/api/task/list", user=member)).data["tasks"]
            assert [task["id"] for task in listed] == [task["taskId"] for task in reversed(created)]
            assert (await api.post("/sandbox/pay", {"orderId": unpaid["orderId"]})).data["state"] == "paid"
            assert await api.remaining(member) == 195
            assert await server.end(signal.SIGTERM) == 0
    await audit_stopped_server(data)


async def test_a_task_in_progress_is_repeated_after_a_kill_and_charged_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data) as server:
            api = Api(server.base, http)
            member = await api.new_member()
            created = await api.create_task(member, await api.upload(member, shirt(2000)))
            task = await api.wait_for_status(member, created["taskId"], "processing", "success")
            assert task["status"] == "processing", "the kill must come while the picture is in progress"
            await server.end(signal.SIGKILL)

        async with server_process(data) as server:
            api = Api(server.base, http)
            task = await api.wait_until_finished(member, created["taskId"])
            assert task["status"] == "success" and len(task["resultUrls"]) == 3
            assert await api.ledger(member) == [("grant", 100, 100), ("charge", -1, 99)]
            assert not any((data / "work").iterdir()), "the restart deletes the unfinished pictures"
    await audit_stopped_server(data)


async def test_a_payment_made_while_the_server_was_down_is_credited(tmp_path: Path) -> None:
    """The notification did not reach the server; a query of the order finds the payment and grants the membership."""
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data) as server:
            api = Api(server.base, http)
            user = await api.new_user()
            order_id = (await api.post("/api/membership/purchase", {"channel": "wx"}, user=user)).data["orderId"]
            await server.end(signal.SIGKILL)
        trade = data / "sandbox" / "trades" / f"{order_id}.json"
        paid = trade.read_text().replace('"unpaid"', '"paid"').replace('"transaction_id": ""', '"transaction_id": "t1"')
        trade.write_text(paid)
        async with server_process(data) as server:
            api = Api(server.base, http)
            order = (await api.get(f"/api/membership/orders/{order_id}", user=user)).data
            assert (order["status"], order["transactionId"]) == ("paid", "t1")
            assert await api.remaining(user) == 100
    await audit_stopped_server(data)
