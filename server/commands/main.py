"""The darkroom command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from actors.task.settings import TaskSettings
from server.commands.operator import FILE, FOLDER, command_groups
from server.settings.load import LoadedSettings, effective, load
from server.settings.model import Settings
from server.settings.validation import SettingsError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="darkroom")
def main() -> None:
    """Darkroom: the backend of a small paid AI-picture product, with an exact quota."""


@main.command()
@click.option("--config", type=FILE, help="Settings file; ./config.toml by default.")
@click.option("--data", type=FOLDER, help="Data folder: the database and the pictures.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes any free port.")
def serve(config: Path | None, data: Path | None, host: str | None, port: int | None) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    os.umask(0o077)  # only the owner may read phones, pictures and secrets
    settings = _load(config, _overrides(data, host, port)).settings
    sys.exit(_serve(settings))


@main.command()
@click.option(
    "--photo", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A JPEG or PNG photo of a garment."
)
@click.option("--out", type=FOLDER, default=Path("demo-output"), show_default=True, help="Folder for the results.")
@click.option("--url", help="A running development server; by default the demo starts its own.")
def demo(photo: Path | None, out: Path, url: str | None) -> None:
    """Go through the whole product once: log in, buy, pay, upload, run a task, read the ledger."""
    from server.commands.demo import run_demo
    from server.commands.demo_client import DemoFailed

    try:
        run_demo(photo, out, url)
    except DemoFailed as fault:
        _fail(str(fault))


@main.command("config")
@click.option("--config", type=FILE, help="Settings file; ./config.toml by default.")
@click.option("--data", type=FOLDER, help="Data folder: the database and the pictures.")
def show_config(config: Path | None, data: Path | None) -> None:
    """Show all settings in effect and where each comes from. Secrets are masked."""
    loaded = _load(config, _overrides(data, None, None), generate=False)
    rows = [(key, value, loaded.source(key)) for key, value in effective(loaded.settings)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for key, value, source in rows:
        click.echo(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {source}")


@main.command()
@click.option("--config", type=FILE, help="Settings file; ./config.toml by default.")
@click.option("--data", type=FOLDER, help="Data folder; with it, the settings are not read.")
def verify(config: Path | None, data: Path | None) -> None:
    """Audit a data folder, also while a server runs on it.

    The audit checks that each balance is the sum of its ledger, that charges have their tasks, failed tasks their
    refunds and payments their grants, and that the database file, its references and its counters are correct. It
    exits with 0 when everything is correct, with 1 when something is broken (every violation is named), and with 2
    when the folder cannot be audited.
    """
    from server.commands.verify import verify

    sys.exit(verify(_find_folder(config, data)))


def _serve(settings: Settings) -> int:
    from server.commands.serve import AddressInUse, run
    from server.logs.format import configure_logging
    from server.system import CannotStart

    configure_logging(settings.mode == "production")
    try:
        return run(settings)
    except (AddressInUse, CannotStart) as fault:
        _fail(str(fault))


def _overrides(data: Path | None, host: str | None, port: int | None) -> dict[str, Any]:
    server = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return ({"data": data} if data is not None else {}) | ({"server": server} if server else {})


def _load(file: Path | None, overrides: dict[str, Any], *, generate: bool = True) -> LoadedSettings:
    try:
        return load(file, overrides, generate=generate)
    except SettingsError as fault:
        lines = "".join(f"\n  {line}" for line in fault.problems)
        _fail(f"the settings cannot be used:{lines}", status=2)


def _fail(message: str, status: int = 1) -> NoReturn:
    click.echo(f"darkroom: {message}", err=True)
    sys.exit(status)


def _find_folder(config: Path | None, data: Path | None) -> Path:
    return _find_data(config, data)[0]


def _find_data(config: Path | None, data: Path | None) -> tuple[Path, TaskSettings]:
    """Return the data folder and the settings of its tasks, which are the defaults when the settings are not read."""
    if data is not None:
        return data, TaskSettings()
    settings = _load(config, {}, generate=False).settings
    return settings.data, settings.tasks


for _group in command_groups(_find_data, _fail):
    main.add_command(_group)

if __name__ == "__main__":
    main()
