"""All commands of the operator, and how one of them is run.

A new command is an entry of the commands of its group; `darkroom` makes its command line from it
(server/commands/operator.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from actors.errors import CommitFailed, DomainError, StorageError
from server.http.errors import failure_of
from server.operator.command import Actors, Arguments, OperatorCommand, OperatorFailed
from server.operator.tasks import TASK_COMMANDS
from server.operator.users import USER_COMMANDS

COMMANDS: Mapping[str, OperatorCommand] = {**USER_COMMANDS, **TASK_COMMANDS}


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """A request to run a command, with its arguments as they came from the command line. `as_json` selects the output.

    An argument that was not given is left out.
    """

    command: str
    arguments: Mapping[str, object]
    as_json: bool = False


def check_request(request: OperatorRequest) -> None:
    """Check the arguments of a request. Raises OperatorFailed."""
    _parse(request)


async def run_command(actors: Actors, request: OperatorRequest) -> str:
    """Run a command and return its output. Raises OperatorFailed."""
    arguments = _parse(request)
    try:
        report = await COMMANDS[request.command].run(actors, arguments)
    except CommitFailed as fault:
        raise OperatorFailed("it is unknown whether the command was carried out; look before you repeat it") from fault
    except (DomainError, StorageError) as fault:
        raise OperatorFailed(failure_of(fault, english=True).message) from fault
    return json.dumps(report.facts, ensure_ascii=False, indent=2) if request.as_json else report.text


def _parse(request: OperatorRequest) -> Arguments:
    """Parse the arguments of a command. Raises OperatorFailed for the first that is wrong."""
    if request.command not in COMMANDS:
        raise OperatorFailed(
            f"this server does not know the command {request.command!r}; it may be older than this program"
        )
    try:
        return COMMANDS[request.command].arguments.model_validate(request.arguments)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        if error["type"] == "value_error":
            raise OperatorFailed(str(error["ctx"]["error"])) from None
        name = ".".join(map(str, error["loc"]))
        if error["type"] == "extra_forbidden":
            raise OperatorFailed(f"this server does not know the argument {name!r} of the command") from None
        raise OperatorFailed(f"the argument {name!r} is not valid: {error['msg']}") from None
