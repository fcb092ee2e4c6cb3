"""Reading settings from config.toml and from environment variables, without checking their values."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from server.settings.model import Settings

VARIABLE_PREFIX = "DARKROOM__"
DEFAULT_FILE = Path("config.toml")


def from_file(file: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of the file and the problems of the file itself. None means ./config.toml, if it exists."""
    path = file or DEFAULT_FILE
    if not path.is_file():
        return {}, [] if file is None else [f"--config: there is no file {file}"]
    try:
        return tomllib.loads(path.read_text("utf-8")), []
    except (ValueError, OSError) as fault:  # it is not UTF-8 or not TOML, or the process may not read it
        return {}, [f"{path}: cannot be read: {fault}"]


def from_environment() -> tuple[dict[str, Any], list[str]]:
    """Return the settings of all DARKROOM__ variables, and a fault for each variable that names no setting."""
    values: dict[str, Any] = {}
    problems = []
    for name, text in sorted(os.environ.items()):
        if not name.startswith(VARIABLE_PREFIX):
            continue
        path = name[len(VARIABLE_PREFIX) :].lower().split("__")
        if not _exists(path):
            problems.append(f"{name}: there is no such setting")
            continue
        value: Any = _parse(text)
        for part in reversed(path):
            value = {part: value}
        merge(values, value)
    return values, problems


def merge(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Add `values` to `target`; where both have a value for a key, `values` wins."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


def _exists(path: Sequence[str]) -> bool:
    model: Any = Settings
    for part in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return False
        model = model.model_fields[part].annotation
    return True


def _parse(text: str) -> Any:
    """Parse lists and tables, which are written as JSON. Invalid JSON is left to the check of the setting itself."""
    if text.startswith(("[", "{")):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text
