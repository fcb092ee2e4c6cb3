"""The command line of the operator's commands: `darkroom admin`, `darkroom user`, `darkroom keys`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

_GROUPS = {
    "admin": "Give or remove admin rights. Changes take effect at once, also while the server runs.",
    "user": "Close and open user accounts. Changes take effect at once, also while the server runs.",
    "keys": "Manage the keys that sign access tokens.",
}

FindFolder = Callable[[Path | None, Path | None], Path]
"""Finds the data folder from --config and --data."""

Fail = Callable[[str], None]
"""Prints a message and ends the process."""


def command_groups(find_folder: FindFolder, fail: Fail) -> Iterator[click.Group]:
    for name, help_text in _GROUPS.items():
        yield _OperatorGroup(name, help_text, find_folder, fail)


class _OperatorGroup(click.Group):
    """A group of server.operator.commands.COMMANDS.

    That module is imported when a command of the group is used and not before: it needs the actors, and their import
    would slow down every other command.
    """

    def __init__(self, name: str, help_text: str, find_folder: FindFolder, fail: Fail) -> None:
        super().__init__(name, help=help_text)
        self._find_folder, self._fail = find_folder, fail

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
                options: list[click.Parameter] = [
                    click.Option(["--config"], type=FILE, help="Settings file; ./config.toml by default."),
                    click.Option(["--data"], type=FOLDER, help="Data folder; with it, the settings are not read."),
                ]
                arguments: list[click.Parameter] = [click.Argument(["phone"])] if command.takes_phone else []
                parameters, run = [*arguments, *options], self._callback(name)
                self.add_command(click.Command(command_name, callback=run, params=parameters, help=command.help))

    def _callback(self, name: str) -> Callable[..., None]:
        def run(config: Path | None, data: Path | None, phone: str = "") -> None:
            from server.logs.format import configure_logging
            from server.operator.commands import OperatorFailed
            from server.operator.execute import execute

            configure_logging(production=False, level=logging.ERROR)  # the output below reports what was done
            try:
                output = asyncio.run(execute(self._find_folder(config, data), name, phone))
            except OperatorFailed as fault:
                self._fail(str(fault))
            else:
                click.echo(output)

        return run
