"""The sandbox's SMS sender: it stores text messages, so that a developer, a test or the demo can read them.

They are files in the data folder, because a real phone also keeps its messages when the server is killed.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TypedDict

from actors.ports import Clock
from server.sandbox.json_file import write_json_file

MAX_MESSAGES = 50  # of one phone; older ones are deleted


class TextMessage(TypedDict):
    phone: str
    code: str
    text: str
    sentAt: int


class Inbox:
    """An SmsSender that delivers into `folder`, one JSON file per phone. `phone` is canonical."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._write_lock = asyncio.Lock()

    async def send(self, phone: str, code: str, minutes: int) -> None:
        text = (
            f"【Darkroom】您的验证码是 {code}，{minutes} 分钟内有效。Your code is {code}, valid for {minutes} minutes."
        )
        message: TextMessage = {"phone": phone, "code": code, "text": text, "sentAt": self._clock.now()}
        async with self._write_lock:
            await asyncio.to_thread(self._add, message)

    async def close(self) -> None:
        """Do nothing: the inbox holds no connection."""

    async def messages(self, phone: str) -> list[TextMessage]:
        """Return the messages of a phone, newest first."""
        return await asyncio.to_thread(self._read, phone)

    def _add(self, message: TextMessage) -> None:
        messages = [message, *self._read(message["phone"])]
        write_json_file(self._path(message["phone"]), messages[:MAX_MESSAGES])

    def _read(self, phone: str) -> list[TextMessage]:
        path = self._path(phone)
        messages: list[TextMessage] = json.loads(path.read_text("utf-8")) if path.is_file() else []
        return messages

    def _path(self, phone: str) -> Path:
        return self._folder / f"{phone}.json"
