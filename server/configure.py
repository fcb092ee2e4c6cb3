"""Where settings come from: config.toml and DARKROOM__SECTION__NAME variables, merged once, every fault listed."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from server.config import SECRET_CHARACTERS, Config, Secrets
from server.secrets import load_or_generate

PREFIX = "DARKROOM__"
DEFAULT_FILE = Path("config.toml")


class ConfigError(Exception):
    """`faults` has one line for each key that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and the source of each key that is not at its default."""

    config: Config
    sources: Mapping[str, str]

    def source(self, key: str) -> str:
        return self.sources.get(key, "default")


def load(file: Path | None, overrides: Mapping[str, Any]) -> Loaded:
    """Command line over environment over file over defaults. Raises ConfigError with every fault found.

    `file` None means ./config.toml, which may be absent; a file that is named has to exist. In development, secrets
    that are not given are read from the data folder, and generated there first where they are missing.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    environment, faults = _from_environment()
    for origin, values in (
        (str(file or DEFAULT_FILE), _from_file(file)),
        ("environment", environment),
        ("command line", overrides),
    ):
        _merge(merged, values)
        sources |= {key: origin for key, _ in _leaves(values)}
    config = _validated(merged, faults)
    if config.mode == "development":
        generated = load_or_generate(config.data, _not_given(dict(config.secrets)))
        _merge(merged, {"secrets": generated})
        sources |= {f"secrets.{name}": str(config.data / "secrets.toml") for name in generated}
        config = _validated(merged, [])
    return Loaded(config, sources)


def effective(config: Config) -> Iterator[tuple[str, str]]:
    """Every key with its value as text, secrets masked."""
    for key, value in _leaves(config.model_dump()):
        yield key, str(value)


def _from_file(file: Path | None) -> dict[str, Any]:
    path = file or DEFAULT_FILE
    if not path.is_file():
        if file is None:
            return {}
        raise ConfigError([f"--config: there is no file {file}"])
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except ValueError as fault:  # not UTF-8, or not TOML
        raise ConfigError([f"{path}: not valid TOML: {fault}"]) from None


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
    model: Any = Config
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


def _validated(values: Mapping[str, Any], faults: Sequence[str]) -> Config:
    try:
        config = Config.model_validate(values)
    except ValidationError as invalid:
        found = [_fault_line(error) for error in invalid.errors(include_url=False)]
        raise ConfigError([*faults, *found, *_missing_secrets(values)]) from None
    if found := [*faults, *_missing_secrets(config.model_dump())]:
        raise ConfigError(found)
    return config


def _fault_line(error: Any) -> str:
    """`server.port: Input should be less than or equal to 65535 (got 70000)`, without ever showing a secret."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: there is no such setting"
    got = "" if key.startswith("secrets") or isinstance(error["input"], dict | list) else f" (got {error['input']!r})"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}{got}"


def _not_given(secrets: Mapping[str, Any]) -> list[str]:
    return [name for name in Secrets.model_fields if secrets.get(name, "") in ("", SecretStr(""))]


def _missing_secrets(values: Mapping[str, Any]) -> list[str]:
    """Works on settings that are not valid yet, so that these faults are told together with the others."""
    secrets = values.get("secrets", {})
    if values.get("mode") != "production" or not isinstance(secrets, dict):
        return []
    return [
        f"secrets.{name}: production needs a secret of at least {SECRET_CHARACTERS} characters; "
        f"set {PREFIX}SECRETS__{name.upper()}, for example to the output of: openssl rand -hex 32"
        for name in _not_given(secrets)
    ]


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
