"""An event loop whose time is a number: nothing ever waits, and one seed gives one run.

Time stands still while anything is ready, then leaps to the next timer. Tasks are hashed by number instead of by
address, so that a set of them has the same order in each run; those made within a `Life` can be ended together.
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

ROUNDS = 100_000  # of the loop, at one moment; a run has some thousands in all


class Stuck(Exception):
    """Whoever waits would wait for ever: nothing is ready and no timer is set, or somebody is busy without an end."""


class _Selector(selectors.SelectSelector):
    """Never blocks: where another one would wait, the time becomes later."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._rounds = 0  # of the loop since the time was last later

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        self._rounds = 0 if timeout > 0 else self._rounds + 1
        if self._rounds > ROUNDS:
            raise Stuck(f"the loop went round {ROUNDS} times at one moment")
        self.now += max(0.0, timeout)
        return []


class _Task(asyncio.Task[Any]):
    _numbers = itertools.count()

    def __new__(cls, *_args: object, **_more: object) -> _Task:
        task = super().__new__(cls)
        task._number = next(cls._numbers)
        return task

    _number: int

    def __hash__(self) -> int:
        return self._number


_LIFE: ContextVar[Life] = ContextVar("life")


class Life:
    """All tasks that were made in its context, and by those: what dies together when a process is killed."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any]] = []
        self._context = copy_context()
        self._context.run(_LIFE.set, self)

    def spawn(self, job: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        return asyncio.get_running_loop().create_task(job, context=self._context.copy())

    async def end(self) -> None:
        """Cancel them, the newest first, until none is left."""
        while running := [task for task in self.tasks if not task.done()]:
            for task in reversed(running):
                task.cancel()
            await asyncio.wait(running)
        for task in self.tasks:
            _ = task.cancelled() or task.exception()  # nobody is left whom a fault could interest
        self.tasks.clear()


def _make(
    loop: asyncio.AbstractEventLoop, job: Coroutine[Any, Any, Any], *, context: Context | None = None, **more: Any
) -> asyncio.Task[Any]:
    task = _Task(job, loop=loop, context=context, **more)
    life = _LIFE.get(None) if context is None else context.get(_LIFE)
    if life is not None:
        life.tasks.append(task)
    return task


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._selector_of_time = _Selector()
        super().__init__(self._selector_of_time)
        self.set_task_factory(_make)  # type: ignore[arg-type]  # the protocol's job may be a generator too

    def time(self) -> float:
        return self._selector_of_time.now


def run_virtually(main: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run to the end, and end whatever is still running. Raises Stuck."""
    with _virtual_loop() as loop:
        return loop.run_until_complete(main())


@contextmanager
def _virtual_loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    try:
        yield loop
    finally:
        loop.run_until_complete(_end_all())
        loop.close()


async def _end_all() -> None:
    left = sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=hash, reverse=True)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
