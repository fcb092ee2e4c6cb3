"""Checking settings: one pass finds every problem."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from server.settings.model import SecretSettings, Settings
from server.settings.production import production_problems
from server.settings.secrets import read_secrets

SECRETS_FOLDER = "secrets"

# A fault of a number, a switch, a date or a choice quotes the value. Other values may contain a secret.
_QUOTABLE = re.compile("int_|float_|bool_|date_|literal_|greater_|less_")


class SettingsError(Exception):
    """The settings cannot be used. `problems` has one line for each key that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def validate(values: Mapping[str, Any], found: Sequence[str]) -> Settings:
    """Check the values. Raises SettingsError with every problem; those that were `found` before come first."""
    try:
        settings = Settings.model_validate(values)
    except ValidationError as invalid:
        # A default that follows another setting cannot be computed when that one is wrong: one fault is enough.
        errors = [e for e in invalid.errors(include_url=False) if e["type"] != "default_factory_not_called"]
        settings = _without(values, [error["loc"] for error in errors])
        reported = tuple(".".join(map(str, error["loc"][:2])) for error in errors)
        more = [line for line in _problems(settings) if not line.startswith(reported)]
        raise SettingsError([*found, *map(_problem_line, errors), *more]) from None
    if problems := [*found, *_problems(settings)]:
        raise SettingsError(problems)
    return settings


def _problems(settings: Settings) -> list[str]:
    """Return a line for each problem of values that are valid by themselves."""
    lines = [f"{key}: {problem}" for key, problem in settings.problems()]
    if settings.mode == "production":
        lines += _production_problems(settings)
    return lines


def _production_problems(settings: Settings) -> list[str]:
    folder = settings.data / SECRETS_FOLDER
    try:
        generated = read_secrets(folder, list(SecretSettings.model_fields))
    except (OSError, ValueError) as fault:
        return [f"{folder}: cannot be read, so it is unknown whether a secret was generated there: {fault}"]
    return [f"{key}: {problem}" for key, problem in production_problems(settings, generated)]


def _without(values: Mapping[str, Any], invalid: Sequence[tuple[int | str, ...]]) -> Settings:
    """Return the settings with the default in place of each invalid key of a section."""
    valid = copy.deepcopy(dict(values))
    for section, *key in invalid:
        if key and isinstance(valid.get(str(section)), dict):
            valid[str(section)].pop(key[0], None)
        else:
            valid.pop(str(section), None)
    return Settings.model_validate(valid)


def _problem_line(error: Any) -> str:
    """Return the line for an error, such as `server.port: … (got 70000)`. It never shows a secret."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: there is no such setting"
    quoted = f" (got {error['input']!r})" if _QUOTABLE.match(error["type"]) else ""
    return f"{key}: {error['msg'].removeprefix('Value error, ')}{quoted}"
