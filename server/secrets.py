"""Development secrets: generated once, kept in the data folder for its owner's eyes only."""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Sequence
from pathlib import Path


def load_or_generate(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The named secrets from `secrets.toml` in the folder; what it lacks is generated and added (mode 0600)."""
    if not names:
        return {}
    path = folder / "secrets.toml"
    kept: dict[str, str] = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    missing = [name for name in names if name not in kept]
    if missing:
        kept |= {name: secrets.token_hex(32) for name in missing}
        _write(path, "".join(f'{name} = "{value}"\n' for name, value in kept.items()))
    return {name: kept[name] for name in names}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    unfinished.replace(path)
