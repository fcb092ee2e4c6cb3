"""The settings of tasks: how many workers run here, how long pictures are kept, and what each type costs and allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from actors.settings import Section
from actors.task.registry import TASK_TYPES
from actors.task.task_type import TaskType, TypeLimits

_RESERVED = ("model_pose12",)  # scripts set the cost of this type already

if TYPE_CHECKING:  # mypy cannot see the fields of models that are made of the registry

    class TypeCosts(Section): ...

    class TypeLimitSettings(Section): ...

else:
    _COSTS = {each.name: each.cost for each in TASK_TYPES.values()} | dict.fromkeys(_RESERVED, 1)
    TypeCosts = create_model(
        "TypeCosts",
        __base__=Section,
        **{name: (int, Field(cost, ge=1, le=1000)) for name, cost in _COSTS.items()},
    )
    TypeLimitSettings = create_model(
        "TypeLimitSettings",
        __base__=Section,
        **{each.name: (each.limits, each.limits()) for each in TASK_TYPES.values()},
    )


class TaskSettings(Section):
    """The section `[tasks]`.

    `workers` tasks run at the same time in this process; with 0, tasks are accepted and other workers run them. The
    pictures of a finished task are kept for `pictures_days`, the input of a failed one for `failed_input_days`, and an
    upload that no task uses for `unused_upload_hours`.
    """

    workers: int = Field(2, ge=0, le=64)
    pictures_days: int = Field(30, ge=1, le=3650)
    failed_input_days: int = Field(7, ge=1, le=3650)
    unused_upload_hours: int = Field(24, ge=1, le=8760)
    cost: TypeCosts = TypeCosts()
    limits: TypeLimitSettings = TypeLimitSettings()

    def cost_of(self, task_type: TaskType) -> int:
        """Return what a task costs, in generations. A type that is not in the registry has its default."""
        return int(getattr(self.cost, task_type.name, task_type.cost))

    def limits_of(self, task_type: TaskType) -> TypeLimits:
        """Return the limits of a type. A type that is not in the registry has its defaults."""
        limits: Any = getattr(self.limits, task_type.name, None) or task_type.limits()
        assert isinstance(limits, TypeLimits)
        return limits
