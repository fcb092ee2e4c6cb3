"""A task type for the torture suites: its attempts are put back, break off and succeed in turn, without any picture."""

from __future__ import annotations

from actors.task.attempt import Attempt, Busy, TaskRefused
from actors.task.registry import TASK_TYPES
from actors.task.task_type import TaskParams, TaskType, TaskTypes


class ToyParams(TaskParams):
    """With `refused`, the task fails at its third attempt."""

    refused: bool = False


async def play(attempt: Attempt) -> list[str]:
    await attempt.fetch_input()
    await attempt.stage_done()
    turn = attempt.task.attempt % 3
    if turn == 1:
        raise Busy(60)
    if turn == 2:
        raise OSError("the disk of this toy is full")
    if attempt.task.params["refused"]:
        raise TaskRefused("no_garment")
    picture = attempt.folder / "toy.png"
    picture.write_bytes(b"toy")
    await attempt.stage_done()
    return await attempt.store([picture])


TOY = TaskType(name="toy", params=ToyParams, stages=("fetch", "play", "store"), work=play)
TYPES_WITH_TOY = TaskTypes(*TASK_TYPES.values(), TOY)
