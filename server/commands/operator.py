"""The operator's commands: `darkroom admin`, `darkroom user`, `darkroom keys`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

_GROUPS = {
    "admin": (
        "Who may use the calls for admins. Works at once, also while the server runs.",
        {
            "grant": "Make the person with this phone an admin.",
            "revoke": "Make an admin a person like any other.",
            "list": "The admins: phone and id.",
        },
    ),
    "user": (
        "Close somebody's account, or let them in again. Works at once, also while the server runs.",
        {
            "ban": "Close an account: its sessions end, and nobody logs in to it.",
            "unban": "Open a closed account again.",
            "unlock": "Forget the wrong codes given for a phone, which have locked it or soon would.",
        },
    ),
    "keys": (
        "The keys that sign access tokens.",
        {"rotate": "Sign with a new key. Tokens that were given out before stay valid until they expire."},
    ),
}
_WITHOUT_PHONE = {"admin list", "keys rotate"}

FindFolder = Callable[[Path | None, Path | None], Path]
"""From --config and --data to the data folder."""

Fail = Callable[[str], None]


def groups(find_folder: FindFolder, fail: Fail) -> Iterator[click.Group]:
    for name, (help_text, commands) in _GROUPS.items():
        group = click.Group(name, help=help_text)
        for command, what in commands.items():
            group.add_command(_command(f"{name} {command}", what, find_folder, fail))
        yield group


def _command(name: str, what: str, find_folder: FindFolder, fail: Fail) -> click.Command:
    def run(config: Path | None, data: Path | None, phone: str = "") -> None:
        from server.logs.form import configure_logging
        from server.operator.commands import OperatorFailed
        from server.operator.execute import order

        configure_logging(production=False, level=logging.ERROR)  # what was done is said below
        try:
            said = asyncio.run(order(find_folder(config, data), name, phone))
        except OperatorFailed as fault:
            fail(str(fault))
        else:
            click.echo(said)

    options: list[click.Parameter] = [
        click.Option(["--config"], type=FILE, help="Settings file; ./config.toml by default."),
        click.Option(["--data"], type=FOLDER, help="Folder of the database; the settings are not read then."),
    ]
    arguments: list[click.Parameter] = [] if name in _WITHOUT_PHONE else [click.Argument(["phone"])]
    return click.Command(name.partition(" ")[2], callback=run, params=[*arguments, *options], help=what)
