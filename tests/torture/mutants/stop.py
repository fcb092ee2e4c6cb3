"""A mutant that does not stop in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from server.commands import serve
from tests.torture.mutants.commits import answering_early, connections

THREADS_LEFT = "threads left:"  # printed by tests/torture/server.py at its end, before the names of the threads


_stopping = threading.Event()


@contextmanager
def leaving_without_commit() -> Iterator[None]:
    """Answer before the commit. After SIGTERM, end the process with status 0 instead of the next commit."""

    def handle_signals() -> asyncio.Event:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _stopping.set)
        return asyncio.Event()

    with answering_early(), connections(_LeavingConnection), patch.object(serve, "_handle_signals", handle_signals):
        yield


class _LeavingConnection(sqlite3.Connection):
    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and _stopping.is_set():
            time.sleep(1)  # enough for the answers of this transaction to reach their clients
            _leave()
        return super().execute(sql, *parameters)


def _leave() -> None:
    """Leave no process and no thread behind, so that only lost answers can show that this was no orderly end."""
    for tasks in Path("/proc/self/task").glob("*/children"):
        for child in tasks.read_text("ascii").split():
            os.kill(int(child), signal.SIGKILL)
            os.waitpid(int(child), 0)
    print(THREADS_LEFT, flush=True)
    os._exit(0)
