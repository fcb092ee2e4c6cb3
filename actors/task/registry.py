"""The registry of task types. A new type is a module in actors/task/types/ and one more line here."""

from __future__ import annotations

from actors.task.task_type import TaskTypes
from actors.task.types.basic_clean import BASIC_CLEAN

TASK_TYPES = TaskTypes(
    BASIC_CLEAN,
)
