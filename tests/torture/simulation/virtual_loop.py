"""An event loop with virtual time: it never waits, and one seed gives one run.

Time stands still while a callback is ready, then jumps to the next timer. Tasks are hashed by number instead of by
address, so that a set of them has the same order in each run. The tasks of a `ProcessTasks` can be ended together.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

R = TypeVar("R")

MAX_ITERATIONS = 100_000  # of the loop without a step in time; a whole run has some thousands


class Stuck(Exception):
    """The run cannot end: nothing is ready and no timer is set, or time stands still in an endless loop."""


class _Selector(selectors.SelectSelector):
    """Moves the virtual time forward instead of blocking."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._iterations = 0  # of the loop since the last step in time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        self._iterations = 0 if timeout > 0 else self._iterations + 1
        if self._iterations > MAX_ITERATIONS:
            raise Stuck(f"the loop made {MAX_ITERATIONS} iterations without a step in time")
        self.now += max(0.0, timeout)
        return []


class _NumberedTask(asyncio.Task[Any]):
    _numbers = itertools.count()

    def __new__(cls, *_args: object, **_more: object) -> _NumberedTask:
        task = super().__new__(cls)
        task._number = next(cls._numbers)
        return task

    _number: int

    def __hash__(self) -> int:
        return self._number


_PROCESS_TASKS: ContextVar[ProcessTasks] = ContextVar("process_tasks")


class ProcessTasks:
    """All asyncio tasks of a simulated process: those spawned here, and those that they create."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any]] = []
        self._context = copy_context()
        self._context.run(_PROCESS_TASKS.set, self)

    def spawn(self, job: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        return asyncio.get_running_loop().create_task(job, context=self._context.copy())

    async def cancel_all(self) -> None:
        """Cancel all tasks, the newest first, until none is left."""
        while running := [task for task in self.tasks if not task.done()]:
            for task in reversed(running):
                task.cancel()
            await asyncio.wait(running)
        for task in self.tasks:
            _ = task.cancelled() or task.exception()  # marks an exception as retrieved
        self.tasks.clear()


def _create_task(
    loop: asyncio.AbstractEventLoop, job: Coroutine[Any, Any, Any], *, context: Context | None = None, **more: Any
) -> asyncio.Task[Any]:
    task = _NumberedTask(job, loop=loop, context=context, **more)
    process = _PROCESS_TASKS.get(None) if context is None else context.get(_PROCESS_TASKS)
    if process is not None:
        process.tasks.append(task)
    return task


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual_selector = _Selector()
        super().__init__(self._virtual_selector)
        self.set_task_factory(_create_task)  # type: ignore[arg-type]  # the protocol's job may be a generator too

    def time(self) -> float:
        return self._virtual_selector.now


def run_virtually(main: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run `main` to its end, then cancel all tasks that still run. Raises Stuck."""
    with _virtual_loop() as loop:
        return loop.run_until_complete(main())


@contextmanager
def _virtual_loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    try:
        yield loop
    finally:
        loop.run_until_complete(_cancel_remaining())
        loop.close()


async def _cancel_remaining() -> None:
    remaining = sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=hash, reverse=True)
    for task in remaining:
        task.cancel()
    await asyncio.gather(*remaining, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
