"""`darkroom demo`: a person's whole way through the product, over HTTP."""

from __future__ import annotations

import asyncio
import io
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
from rich.console import Console

from server.commands.serve import READY

TASK_SECONDS = 120

console = Console(highlight=False)


class DemoFailed(Exception):
    """A step of the demo was refused; the message says which and why."""


def run_demo(photo: Path | None, out: Path, url: str | None) -> None:
    """Raises DemoFailed."""
    out.mkdir(parents=True, exist_ok=True)
    with _own_server() if url is None else _given(url) as address:
        asyncio.run(_drive(address, photo or _sample(out), out))


async def _drive(address: str, photo: Path, out: Path) -> None:
    async with _client(address) as api:
        await _log_in(api)
        await _buy(api)
        image_url = await _upload(api, photo)
        task = await _clean(api, image_url)
        for result in task["resultUrls"]:
            await _save(api, result, out)
        await _show_ledger(api, out)
    console.print(f"\n[bold]Done.[/] The pictures and the ledger are in [cyan]{out}[/].")


async def _log_in(api: _Api) -> None:
    phone = f"138{secrets.randbelow(10**8):08}"
    await api.post("/api/auth/send-code", {"phone": phone})
    messages = (await api.get(f"/sandbox/sms?phone={phone}"))["messages"]
    login = await api.post("/api/auth/login", {"phone": phone, "code": messages[0]["code"]})
    api.log_in(login["token"])
    _say("logged in", f"{phone} with code {messages[0]['code']} from the sandbox's inbox")


async def _buy(api: _Api) -> None:
    order = await api.post("/api/membership/purchase", {"channel": "wx"})
    _say("ordered", f"{order['amount'] / 100:.2f} yuan, cashier page {order['qrcodeUrl']}")
    paid = await api.post("/sandbox/pay", {"orderId": order["orderId"]})
    if not paid["notified"]:
        raise DemoFailed("the order was paid, but the server did not take the sandbox's callback; see its log")
    status = await api.get("/api/membership/status")
    _say("paid", f"member until {status['quota_expireAt']}, {status['quota_remaining']} generations")


async def _upload(api: _Api, photo: Path) -> str:
    place = await api.get(f"/api/media/sts?fileName=photo{photo.suffix.lower()}")
    await api.put(place["uploadUrl"], await asyncio.to_thread(photo.read_bytes), place["headers"])
    _say("uploaded", str(photo))
    return str(place["inputImageUrl"])


async def _clean(api: _Api, image_url: str) -> Any:
    created = await api.post("/api/task/create", {"type": "basic_clean", "inputImageUrl": image_url})
    _say("task created", f"{created['taskId']}, {created['quota_remaining']} generations left")
    started = time.monotonic()
    with console.status("cutting out the garment …"):
        task = await _finished(api, created["taskId"])
    if task["status"] == "failed":
        raise DemoFailed(f"the task failed and was refunded: {task['errorMessage']}")
    _say("task finished", f"{len(task['resultUrls'])} pictures in {time.monotonic() - started:.1f} s")
    return task


async def _finished(api: _Api, task_id: str) -> Any:
    deadline = time.monotonic() + TASK_SECONDS
    while time.monotonic() < deadline:
        task = await api.get(f"/api/task/{task_id}")
        if task["status"] in ("success", "failed"):
            return task
        await asyncio.sleep(0.2)
    raise DemoFailed(f"the task {task_id} was not finished within {TASK_SECONDS} s")


async def _save(api: _Api, url: str, out: Path) -> None:
    target = out / url.partition("?")[0].rpartition("/")[2]
    await asyncio.to_thread(target.write_bytes, await api.download(url))
    _say("saved", str(target))


async def _show_ledger(api: _Api, out: Path) -> None:
    entries = (await api.get("/api/quota/ledger"))["entries"]
    target = out / "ledger.json"
    await asyncio.to_thread(target.write_text, json.dumps(entries, indent=2), "utf-8")
    for entry in reversed(entries):
        _say("ledger", f"{entry['kind']:<7} {entry['amount']:+5d}  balance {entry['balance']:4d}  {entry['reference']}")
    _say("saved", str(target))


class _Api:
    """Darkroom's calls, unwrapped from their envelope."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    def log_in(self, token: str) -> None:
        self._http.headers["Authorization"] = f"Bearer {token}"

    async def get(self, path: str) -> Any:
        return await self._data(self._http.get(path))

    async def post(self, path: str, body: dict[str, str]) -> Any:
        return await self._data(self._http.post(path, json=body))

    async def put(self, url: str, body: bytes, headers: dict[str, str]) -> Any:
        return await self._data(self._http.put(url, data=io.BytesIO(body), headers=headers))

    async def download(self, url: str) -> bytes:
        answer, content = await self._answer(self._http.get(url))
        if answer.status != 200:
            raise DemoFailed(f"GET {answer.url.path} answered {answer.status}")
        return content

    async def _data(self, request: Any) -> Any:
        answer, raw = await self._answer(request)
        try:
            content = json.loads(raw)
            succeeded = content["success"]
        except (ValueError, TypeError, KeyError):
            raise DemoFailed(
                f"{answer.method} {answer.url.path}: that is not Darkroom's answer: {raw[:80]!r}"
            ) from None
        if not succeeded:
            error = content["error"]
            raise DemoFailed(f"{answer.method} {answer.url.path}: {error['code']} {error['message']}")
        return content.get("data")

    async def _answer(self, request: Any) -> tuple[aiohttp.ClientResponse, bytes]:
        try:
            async with request as answer:
                return answer, await answer.read()
        except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
            raise DemoFailed(f"no answer from Darkroom: {fault!r}") from None


@asynccontextmanager
async def _client(address: str) -> AsyncIterator[_Api]:
    async with aiohttp.ClientSession(address, headers={"Accept-Language": "en"}) as http:
        yield _Api(http)


@contextmanager
def _given(url: str) -> Iterator[str]:
    if not url.startswith(("http://", "https://")):
        raise DemoFailed(f"--url {url} is not an address such as http://127.0.0.1:3000")
    yield url.rstrip("/")


@contextmanager
def _own_server() -> Iterator[str]:
    """A development server with default settings, on a free port and in a folder of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="darkroom-demo-") as name:
        folder = Path(name)
        (folder / "config.toml").touch()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM__")}
        with (folder / "log").open("w+") as log:
            process = subprocess.Popen(  # our own command
                [sys.executable, "-P", "-m", "server.commands.main", "serve", "--port", "0"],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            assert process.stdout is not None
            with process.stdout:
                try:
                    yield _announced(process.stdout, log)
                finally:
                    process.terminate()
                    process.wait()


def _announced(output: IO[str], log: IO[str]) -> str:
    """The address the server says it is ready on."""
    for line in output:
        if line.startswith(READY):
            address = line.removeprefix(READY).strip()
            _say("server started", address)
            return address
    log.seek(0)
    raise DemoFailed(f"the demo's own server did not start:\n{log.read()}")


def _sample(out: Path) -> Path:
    from server.commands.sample_photo import draw_sample

    path = out / "sample.jpg"
    draw_sample(path)
    _say("drew a photo", str(path))
    return path


def _say(what: str, detail: str) -> None:
    console.print(f"[green]✓[/] {what:<15} {detail}", soft_wrap=True)
