"""Execute an operator's commands in the test's own process, which takes less time than to start `darkroom`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.ports import Clock, ObjectStore
from actors.task.settings import TaskSettings
from server.clock import SystemClock
from server.gateways.objects.local import LocalObjects
from server.operator.command import OperatorFailed
from server.operator.commands import OperatorRequest
from server.operator.execute import Target, execute


async def execute_on(data: Path, command: str, **arguments: object) -> str:
    """Execute a command on a data folder, and return its output."""
    return await execute(_target(data), OperatorRequest(command, arguments))


async def facts_on(data: Path, command: str, **arguments: object) -> Any:
    """Execute a command on a data folder, and return its output as parsed JSON."""
    return json.loads(await execute(_target(data), OperatorRequest(command, arguments, as_json=True)))


async def failure_on(data: Path, command: str, **arguments: object) -> str:
    """Execute a command that fails, and return why."""
    with pytest.raises(OperatorFailed) as caught:
        await execute_on(data, command, **arguments)
    return str(caught.value)


def _target(data: Path) -> Target:
    return Target(data, SystemClock(), _open_store, TaskSettings())


def _open_store(folder: Path, clock: Clock) -> ObjectStore:
    return LocalObjects(folder / "pictures", "", "", clock)
