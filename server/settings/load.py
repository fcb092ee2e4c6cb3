"""Loading the settings: command line over environment over config.toml over defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.settings.model import SecretSettings, Settings
from server.settings.secrets import generate_secrets, read_secrets
from server.settings.sources import DEFAULT_FILE, from_environment, from_file, merge
from server.settings.validation import SECRETS_FOLDER, SettingsError, validate

_SECRET_URL_PARTS = re.compile(r"(?<=://)[^/\s]+(?=@)|(?<=\?)\S+")  # the user information and the query of a URL


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and the source of each key that does not have its default."""

    settings: Settings
    sources: Mapping[str, str]

    def source(self, key: str) -> str:
        return self.sources.get(key, "default")


def load(file: Path | None, overrides: Mapping[str, Any], *, generate: bool = True) -> LoadedSettings:
    """Load the settings. `overrides` come from the command line. Raises SettingsError with every fault.

    `file` None means ./config.toml, which may be missing; a file that is named has to exist. In development, secrets
    that are not given are read from the data folder, and with `generate` they are made there the first time.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    file_values, problems = from_file(file)
    environment, more_problems = from_environment()
    for source, values in (
        (str(file or DEFAULT_FILE), file_values),
        ("environment", environment),
        ("command line", overrides),
    ):
        merge(merged, values)
        sources |= {key: source for key, _ in _leaves(values)}
    settings = validate(merged, [*problems, *more_problems])
    if settings.mode == "development":
        missing = _missing_secrets(settings)
        secrets = _development_secrets(settings, missing, generate)
        merge(merged, {"secrets": secrets})
        sources |= {f"secrets.{name}": "generated at the first start" for name in missing}
        sources |= {f"secrets.{name}": str(settings.data / SECRETS_FOLDER / name) for name in secrets}
        settings = validate(merged, [])
    return LoadedSettings(settings, sources)


def effective(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield every key with its value as text. Secrets are masked, also those in URLs."""
    for key, value in _leaves(settings.model_dump()):
        yield key, _SECRET_URL_PARTS.sub("**********", str(value))


def _missing_secrets(settings: Settings) -> list[str]:
    return [name for name in SecretSettings.model_fields if not getattr(settings.secrets, name).get_secret_value()]


def _development_secrets(settings: Settings, missing: list[str], generate: bool) -> dict[str, str]:
    """Return those of the missing secrets that the data folder has."""
    folder = settings.data / SECRETS_FOLDER
    try:
        if generate:
            generate_secrets(folder, missing)
        return read_secrets(folder, missing)
    except (OSError, ValueError) as fault:
        raise SettingsError([f"{folder}: secrets cannot be read or written there: {fault}"]) from None


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
