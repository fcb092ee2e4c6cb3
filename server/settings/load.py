"""Where settings come from: config.toml and DARKROOM__SECTION__NAME variables, merged once, every fault listed."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from server.gateways.sms import factory
from server.settings.model import Secrets, Settings
from server.settings.production import unsafe
from server.settings.secrets import generate_secrets, kept_secrets

PREFIX = "DARKROOM__"
DEFAULT_FILE = Path("config.toml")
SECRETS_FOLDER = "secrets"

_IN_ADDRESS = re.compile(r"(?<=://)[^/\s]+(?=@)|(?<=\?)\S+")  # user information, and a query

# What is wrong with a number, a switch or a choice. Any other value is not repeated: it may hold a secret.
_HARMLESS = re.compile("int_|float_|bool_|date_|literal_|greater_|less_")


class SettingsError(Exception):
    """`faults` has one line for each key that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and the source of each key that is not at its default."""

    config: Settings
    sources: Mapping[str, str]

    def source(self, key: str) -> str:
        return self.sources.get(key, "default")


def load(file: Path | None, overrides: Mapping[str, Any], *, generate: bool = True) -> LoadedSettings:
    """Command line over environment over file over defaults. Raises SettingsError with every fault found.

    `file` None means ./config.toml, which may be absent; a file that is named has to exist. In development, secrets
    that are not given are those in the data folder, generated there (unless told not to) when there are none.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    from_file, faults = _from_file(file)
    environment, more_faults = _from_environment()
    for origin, values in (
        (str(file or DEFAULT_FILE), from_file),
        ("environment", environment),
        ("command line", overrides),
    ):
        _merge(merged, values)
        sources |= {key: origin for key, _ in _leaves(values)}
    config = _validated(merged, [*faults, *more_faults])
    if config.mode == "development":
        kept = _development_secrets(config, generate)
        _merge(merged, {"secrets": kept})
        sources |= {f"secrets.{name}": "made at the first start" for name in _not_given(dict(config.secrets))}
        sources |= {f"secrets.{name}": str(config.data / SECRETS_FOLDER / name) for name in kept}
        config = _validated(merged, [])
    return LoadedSettings(config, sources)


def _development_secrets(config: Settings, generate: bool) -> dict[str, str]:
    """For the secrets that are not given, those of the data folder."""
    missing = _not_given(dict(config.secrets))
    folder = config.data / SECRETS_FOLDER
    try:
        if generate:
            generate_secrets(folder, missing)
        return kept_secrets(folder, missing)
    except (OSError, ValueError) as fault:
        raise SettingsError([f"{folder}: secrets cannot be read or written there: {fault}"]) from None


def effective(config: Settings) -> Iterator[tuple[str, str]]:
    """Every key with its value as text, secrets masked, those in addresses included."""
    for key, value in _leaves(config.model_dump()):
        yield key, _IN_ADDRESS.sub("**********", str(value))


def _from_file(file: Path | None) -> tuple[dict[str, Any], list[str]]:
    """The settings in the file, or the fault that keeps it from being read."""
    path = file or DEFAULT_FILE
    if not path.is_file():
        return {}, [] if file is None else [f"--config: there is no file {file}"]
    try:
        return tomllib.loads(path.read_text("utf-8")), []
    except (ValueError, OSError) as fault:  # not UTF-8, not TOML, or not for us to read
        return {}, [f"{path}: cannot be read: {fault}"]


def _from_environment() -> tuple[dict[str, Any], list[str]]:
    """The settings among the environment's variables, and a fault for each variable that names none."""
    values: dict[str, Any] = {}
    faults = []
    for name, text in sorted(os.environ.items()):
        if not name.startswith(PREFIX):
            continue
        path = name[len(PREFIX) :].lower().split("__")
        if not _known(path):
            faults.append(f"{name}: there is no such setting")
            continue
        value: Any = _parsed(text)
        for part in reversed(path):
            value = {part: value}
        _merge(values, value)
    return values, faults


def _known(path: Sequence[str]) -> bool:
    model: Any = Settings
    for part in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return False
        model = model.model_fields[part].annotation
    return True


def _parsed(text: str) -> Any:
    """Lists and tables are written as JSON; what is not JSON is left to the setting's own check."""
    if text.startswith(("[", "{")):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text


def _validated(values: Mapping[str, Any], faults: Sequence[str]) -> Settings:
    """Raises SettingsError with whatever is wrong, unsafe or missing, so that nobody mends one fault at a time."""
    try:
        config = Settings.model_validate(values)
    except ValidationError as invalid:
        # A default that follows another setting cannot be told where that one is wrong: one fault is enough.
        errors = [e for e in invalid.errors(include_url=False) if e["type"] != "default_factory_not_called"]
        config = _without(values, [error["loc"] for error in errors])
        wrong = tuple(".".join(map(str, error["loc"][:2])) for error in errors)  # of these enough is said
        more = [line for line in _unusable(config) if not line.startswith(wrong)]
        raise SettingsError([*faults, *map(_fault_line, errors), *more]) from None
    if found := [*faults, *_unusable(config)]:
        raise SettingsError(found)
    return config


def _unusable(config: Settings) -> list[str]:
    """What is wrong with values that are right each by itself."""
    return [
        *_inconsistent(config),
        *factory.faults(config.sms),
        *(_unsafe_for_production(config) if config.mode == "production" else []),
    ]


def _unsafe_for_production(config: Settings) -> list[str]:
    folder = config.data / SECRETS_FOLDER
    try:
        generated = kept_secrets(folder, list(Secrets.model_fields))
    except (OSError, ValueError) as fault:
        return [f"{folder}: whether a secret is one that development made cannot be told: {fault}"]
    return unsafe(config, generated)


def _inconsistent(config: Settings) -> Iterator[str]:
    if config.auth.refresh_days < config.auth.token_days:
        yield "auth.refresh_days: must not be less than auth.token_days: a session would end before its token"


def _without(values: Mapping[str, Any], wrong: Sequence[tuple[int | str, ...]]) -> Settings:
    """The settings with the default in the place of each section's key that is wrong."""
    kept = copy.deepcopy(dict(values))
    for section, *key in wrong:
        if key and isinstance(kept.get(str(section)), dict):
            kept[str(section)].pop(key[0], None)
        else:
            kept.pop(str(section), None)
    return Settings.model_validate(kept)


def _fault_line(error: Any) -> str:
    """`server.port: Input should be less than or equal to 65535 (got 70000)`, without ever showing a secret."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: there is no such setting"
    got = f" (got {error['input']!r})" if _HARMLESS.match(error["type"]) else ""
    return f"{key}: {error['msg'].removeprefix('Value error, ')}{got}"


def _not_given(secrets: Mapping[str, Any]) -> list[str]:
    return [name for name in Secrets.model_fields if secrets.get(name, "") in ("", SecretStr(""))]


def _merge(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
