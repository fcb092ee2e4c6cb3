"""`darkroom demo`: every step of a user, from logging in to the finished pictures, over HTTP."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from server.commands.demo_client import DemoClient, DemoFailed, open_client
from server.commands.demo_server import demo_server

TASK_SECONDS = 120

console = Console(highlight=False)


def run_demo(photo: Path | None, out: Path, url: str | None) -> None:
    """Run all steps against the server at `url`, or a temporary one, and save the results in `out`.

    Raises DemoFailed.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _started_server() if url is None else _running_server(url) as base_url:
        asyncio.run(_run_steps(base_url, photo or _draw_photo(out), out))


@contextmanager
def _started_server() -> Iterator[str]:
    with demo_server() as url:
        _report("server started", url)
        yield url


@contextmanager
def _running_server(url: str) -> Iterator[str]:
    if not url.startswith(("http://", "https://")):
        raise DemoFailed(f"--url {url} is not a URL such as http://127.0.0.1:3000")
    yield url.rstrip("/")


def _draw_photo(out: Path) -> Path:
    from server.commands.sample_photo import draw_sample

    path = out / "sample.jpg"
    draw_sample(path)
    _report("photo drawn", str(path))
    return path


async def _run_steps(base_url: str, photo: Path, out: Path) -> None:
    async with open_client(base_url) as client:
        await _log_in(client)
        await _buy_membership(client)
        image_url = await _upload(client, photo)
        task = await _run_task(client, image_url)
        for result_url in task["resultUrls"]:
            await _save_picture(client, result_url, out)
        await _save_ledger(client, out)
    console.print(f"\n[bold]Done.[/] The pictures and the ledger are in [cyan]{out}[/].")


async def _log_in(client: DemoClient) -> None:
    phone = f"138{secrets.randbelow(10**8):08}"
    await client.post("/api/auth/send-code", {"phone": phone})
    messages = (await client.get(f"/sandbox/sms?phone={phone}"))["messages"]
    login = await client.post("/api/auth/login", {"phone": phone, "code": messages[0]["code"]})
    client.set_token(login["token"])
    _report("logged in", f"phone {phone}, code {messages[0]['code']} from the sandbox's inbox")


async def _buy_membership(client: DemoClient) -> None:
    order = await client.post("/api/membership/purchase", {"channel": "wx"})
    _report("ordered", f"{order['amount'] / 100:.2f} yuan, cashier page {order['qrcodeUrl']}")
    paid = await client.post("/sandbox/pay", {"orderId": order["orderId"]})
    if not paid["notified"]:
        raise DemoFailed("the order was paid, but the server did not accept the payment callback; see the server's log")
    status = await client.get("/api/membership/status")
    _report("paid", f"member until {status['quota_expireAt']}, {status['quota_remaining']} generations")


async def _upload(client: DemoClient, photo: Path) -> str:
    ticket = await client.get(f"/api/media/sts?fileName=photo{photo.suffix.lower()}")
    await client.put(ticket["uploadUrl"], await asyncio.to_thread(photo.read_bytes), ticket["headers"])
    _report("uploaded", str(photo))
    return str(ticket["inputImageUrl"])


async def _run_task(client: DemoClient, image_url: str) -> Any:
    created = await client.post("/api/task/create", {"type": "basic_clean", "inputImageUrl": image_url})
    _report("task created", f"{created['taskId']}, {created['quota_remaining']} generations left")
    started = time.monotonic()
    with console.status("The server is cutting out the garment …"):
        task = await _wait_until_finished(client, created["taskId"])
    if task["status"] == "failed":
        raise DemoFailed(f"the task failed and its generation was refunded: {task['errorMessage']}")
    _report("task finished", f"{len(task['resultUrls'])} pictures in {time.monotonic() - started:.1f} s")
    return task


async def _wait_until_finished(client: DemoClient, task_id: str) -> Any:
    deadline = time.monotonic() + TASK_SECONDS
    while time.monotonic() < deadline:
        task = await client.get(f"/api/task/{task_id}")
        if task["status"] in ("success", "failed"):
            return task
        await asyncio.sleep(0.2)
    raise DemoFailed(f"the task {task_id} did not finish within {TASK_SECONDS} s")


async def _save_picture(client: DemoClient, url: str, out: Path) -> None:
    target = out / url.partition("?")[0].rpartition("/")[2]
    await asyncio.to_thread(target.write_bytes, await client.download(url))
    _report("saved", str(target))


async def _save_ledger(client: DemoClient, out: Path) -> None:
    entries = (await client.get("/api/quota/ledger"))["entries"]
    target = out / "ledger.json"
    await asyncio.to_thread(target.write_text, json.dumps(entries, indent=2), "utf-8")
    for entry in reversed(entries):
        values = f"{entry['kind']:<7} {entry['amount']:+5d}  balance {entry['balance']:4d}  {entry['reference']}"
        _report("ledger entry", values)
    _report("saved", str(target))


def _report(step: str, detail: str) -> None:
    console.print(f"[green]✓[/] {step:<15} {detail}", soft_wrap=True)
