"""The command line of the operator's commands: `darkroom admin`, `darkroom user`, `darkroom keys`, `darkroom tasks`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actors.task.settings import TaskSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from server.operator.command import Arguments

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

_GROUPS = {
    "admin": "Give or remove admin rights. Changes take effect at once, also while the server runs.",
    "user": "Close and open user accounts. Changes take effect at once, also while the server runs.",
    "keys": "Manage the keys that sign access tokens.",
    "tasks": "List and show tasks, and fail, cancel or retry them, also while the server runs.",
}

FindData = Callable[[Path | None, Path | None], tuple[Path, TaskSettings]]
"""Finds the data folder, and the settings of its tasks, from --config and --data."""

Fail = Callable[[str], None]
"""Prints a message and ends the process."""


def command_groups(find_data: FindData, fail: Fail) -> Iterator[click.Group]:
    for name, help_text in _GROUPS.items():
        yield _OperatorGroup(name, help_text, find_data, fail)


class _OperatorGroup(click.Group):
    """A group of server.operator.commands.COMMANDS.

    That module is imported when a command of the group is used and not before: it needs the actors, and their import
    would slow down every other command.
    """

    def __init__(self, name: str, help_text: str, find_data: FindData, fail: Fail) -> None:
        super().__init__(name, help=help_text)
        self._find_data, self._fail = find_data, fail

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._add_commands()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        self._add_commands()
        return super().get_command(ctx, cmd_name)

    def _add_commands(self) -> None:
        from server.operator.commands import COMMANDS

        for name, command in COMMANDS.items():
            group_name, _, command_name = name.partition(" ")
            if group_name == self.name and command_name not in self.commands:
                parameters = [*_parameters(command.arguments), *_common_options()]
                click_command = click.Command(
                    command_name, callback=self._callback(name), params=parameters, help=command.help
                )
                self.add_command(click_command)

    def _callback(self, name: str) -> Callable[..., None]:
        def run(config: Path | None, data: Path | None, as_json: bool, **arguments: object) -> None:
            from server.clock import SystemClock
            from server.gateways.objects.local import LocalObjects
            from server.logs.format import configure_logging
            from server.operator.command import OperatorFailed
            from server.operator.commands import OperatorRequest
            from server.operator.execute import Target, execute
            from server.sandbox.clock import ClockUnreadable, SandboxClock

            configure_logging(production=False, level=logging.ERROR)  # the output below reports what was done
            folder, tasks = self._find_data(config, data)
            # The store signs no URLs here, so it needs neither the address of the server nor a secret.
            given = {name: value for name, value in arguments.items() if value is not None}
            try:
                clock = SandboxClock(SystemClock(), folder / "sandbox" / "clock.json")  # in production there is no file
                target = Target(folder, clock, lambda folder, c: LocalObjects(folder / "pictures", "", "", c), tasks)
                output = asyncio.run(execute(target, OperatorRequest(name, given, as_json)))
            except (OperatorFailed, ClockUnreadable) as fault:
                self._fail(str(fault))
            else:
                click.echo(output)

        return run


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(["as_json", "--json"], is_flag=True, help="Print JSON instead of text."),
        click.Option(["--config"], type=FILE, help="Settings file; ./config.toml by default."),
        click.Option(["--data"], type=FOLDER, help="Data folder; with it, the settings are not read."),
    ]


def _parameters(arguments: type[Arguments]) -> Iterator[click.Parameter]:
    """Yield the parameters of the command line that give these arguments."""
    for name, field in arguments.model_fields.items():
        if name in arguments.positional:
            yield click.Argument([name])
        else:
            yield click.Option(
                [f"--{name}"],
                type=_type(field),
                required=field.is_required(),
                help=field.description,
                **({} if field.default is None or field.is_required() else _default(field)),
            )


def _default(field: FieldInfo) -> dict[str, Any]:
    value = field.default
    return {"default": value.value if isinstance(value, Enum) else value, "show_default": True}


def _type(field: FieldInfo) -> click.ParamType[Any] | None:
    """Return the type of an option: the values of an enumeration, a number in its bounds, or any text."""
    if isinstance(field.annotation, type) and issubclass(field.annotation, Enum):
        return click.Choice([each.value for each in field.annotation])
    if field.annotation is int:
        bounds = {name: getattr(each, name) for each in field.metadata for name in ("ge", "le") if hasattr(each, name)}
        return click.IntRange(bounds.get("ge"), bounds.get("le"))
    return None
