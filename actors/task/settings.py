"""The settings of tasks: how many workers run here, and what a task of each type costs."""

from __future__ import annotations

from pydantic import Field

from actors.settings import Section


class TaskCost(Section):
    """The generations that a task of each type costs."""

    basic_clean: int = Field(1, ge=1, le=1000)
    model_pose12: int = Field(1, ge=1, le=1000)


class TaskSettings(Section):
    """The section `[tasks]`.

    `workers` tasks run at the same time in this process; with 0, tasks are accepted and other workers run them.
    """

    workers: int = Field(2, ge=0, le=64)
    cost: TaskCost = TaskCost()
