"""The phones of the sandbox: a text message is kept where a developer, a test or the demo can read it.

Kept as files in the data folder, because a real phone keeps its messages when the server is killed.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TypedDict

from actors.ports import Clock
from server.sandbox.json_file import write_book

KEEP = 50  # messages of one phone


class Message(TypedDict):
    phone: str
    code: str
    text: str
    sentAt: int


class Inbox:
    """An SmsSender that delivers into a folder. `phone` is canonical."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._writing = asyncio.Lock()

    async def send(self, phone: str, code: str, minutes: int) -> None:
        text = (
            f"【Darkroom】您的验证码是 {code}，{minutes} 分钟内有效。Your code is {code}, good for {minutes} minutes."
        )
        message: Message = {"phone": phone, "code": code, "text": text, "sentAt": self._clock.now()}
        async with self._writing:
            await asyncio.to_thread(self._add, message)

    async def close(self) -> None:
        """Nothing is held."""

    async def messages(self, phone: str) -> list[Message]:
        """Newest first."""
        return await asyncio.to_thread(self._read, phone)

    def _add(self, message: Message) -> None:
        messages = [message, *self._read(message["phone"])]
        write_book(self._path(message["phone"]), messages[:KEEP])

    def _read(self, phone: str) -> list[Message]:
        path = self._path(phone)
        found: list[Message] = json.loads(path.read_text("utf-8")) if path.is_file() else []
        return found

    def _path(self, phone: str) -> Path:
        return self._folder / f"{phone}.json"
