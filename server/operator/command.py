"""A command of the operator: its arguments, what it may use, and what it reports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from actors.auth.actor import Auth
from actors.errors import PhoneInvalid
from actors.phones import canonical
from actors.task.actor import Tasks

Facts = Mapping[str, object] | Sequence[Mapping[str, object]]
"""What a command reports, as JSON. The names are camelCase as in the API."""


class OperatorFailed(Exception):
    """The command could not be executed. The message says why."""


@dataclass(frozen=True, slots=True)
class Actors:
    """The actors that carry out the commands."""

    auth: Auth
    tasks: Tasks


@dataclass(frozen=True, slots=True)
class Report:
    """What a command reports: `text` for people, and the same as `facts` for programs."""

    text: str
    facts: Facts


class Arguments(BaseModel):
    """The base class of a command's arguments.

    A field is an option `--name` on the command line, with its description as the help; those in `positional` are
    written without a name. A field without a default is required.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    positional: ClassVar[tuple[str, ...]] = ()


class NoArguments(Arguments):
    """For commands without arguments."""


def _check_phone(phone: str) -> str:
    try:
        return canonical(phone)
    except PhoneInvalid:
        raise ValueError(f"{phone} is not a mainland China mobile number, such as 13800138000") from None


Phone = Annotated[str, AfterValidator(_check_phone)]


class PhoneArguments(Arguments):
    """For commands about the user with a phone."""

    positional = ("phone",)
    phone: Phone = Field(description="The phone with which the user logs in.")


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """A command of the operator. `run` gets what `arguments` has parsed."""

    help: str
    arguments: type[Arguments]
    run: Callable[[Actors, Any], Awaitable[Report]]
