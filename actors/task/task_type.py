"""A task type: everything that the server knows about one kind of task, in one place.

A type is declared in a module of actors/task/types/ and listed in registry.py. The HTTP layer, the actor, the settings
and the documentation of the API take what they need from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.errors import BadParameter, UnknownTaskType
from actors.settings import Section
from actors.task.attempt import Attempt


class TaskParams(BaseModel):
    """The base class of a type's parameters. Unknown ones are refused, and values are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TypeLimits(Section):
    """The section `[tasks.limits.TYPE]`.

    `per_minute` is how many tasks of the type a user may create in any minute, 0 for any number. A task fails when
    nobody has begun to carry it out for `waiting_hours`, when an attempt of this server took longer than `seconds`
    for the last of `attempts` times, or when an external worker has not finished it `total_hours` after its creation.
    """

    per_minute: int = Field(0, ge=0, le=10_000)
    waiting_hours: int = Field(24, ge=1, le=720)
    total_hours: int = Field(168, ge=1, le=8760)
    seconds: int = Field(120, ge=1, le=86_400)
    attempts: int = Field(5, ge=1, le=100)


class FailureText(NamedTuple):
    """What a user is told about a failure."""

    chinese: str
    english: str


@dataclass(frozen=True, slots=True)
class TaskType:
    """One type of task.

    `work` carries out one attempt in this process and returns the keys of the results, in their order; None leaves the
    type to external workers. It calls `Attempt.stage_done` after each of the `stages` except the last, which ends when
    it returns. With `can_be_stopped`, an attempt may be cancelled at any time without harm. `cost` is the default, in
    generations; `limits` is the class of the type's settings, whose defaults a type may change. `failures` has the text
    for each reason with which `work` refuses a task.

    `work` raises `TaskRefused` when the task cannot succeed, `Busy` when it should be tried later at no cost, and
    OSError or TimeoutError when another attempt may succeed.
    """

    name: str
    params: type[TaskParams]
    stages: Sequence[str]
    work: Callable[[Attempt], Awaitable[Sequence[str]]] | None = None
    can_be_stopped: bool = False
    cost: int = 1
    limits: type[TypeLimits] = TypeLimits
    failures: Mapping[str, FailureText] = field(default_factory=dict)

    def parse(self, params: Mapping[str, object]) -> dict[str, Any]:
        """Return the parameters with their defaults, as they are stored. Raises BadParameter."""
        try:
            return self.params.model_validate(params).model_dump(mode="json")
        except ValidationError as invalid:
            raise bad_parameter(invalid) from None

    def percent(self, stages_done: int) -> int:
        """Return the progress after a number of stages, less than 100 while the task is not finished."""
        return min(99, 100 * stages_done // len(self.stages))


def bad_parameter(invalid: ValidationError) -> BadParameter:
    """Return the error for the first parameter that is wrong. It never repeats the value that was sent."""
    error = invalid.errors(include_url=False, include_input=False)[0]
    context = error.get("ctx", {})
    problem = str(context["error"]) if error["type"] == "value_error" else error["type"]
    facts = {name: value if isinstance(value, str | int | float) else str(value) for name, value in context.items()}
    facts.pop("error", None)
    return BadParameter(**facts, field=".".join(["params", *map(str, error["loc"])]), problem=problem)


class TaskTypes(Mapping[str, TaskType]):
    """Task types by name."""

    def __init__(self, *types: TaskType) -> None:
        self._types = {each.name: each for each in types}

    def find(self, name: str) -> TaskType:
        """Return a type. Raises UnknownTaskType."""
        if name not in self._types:
            raise UnknownTaskType(type=name, known=", ".join(self._types))
        return self._types[name]

    def __getitem__(self, name: str) -> TaskType:
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)
