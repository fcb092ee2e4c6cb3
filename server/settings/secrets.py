"""The secrets of development mode: generated once and kept in the data folder, readable by its owner only."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def read_secrets(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return those of the named secrets that exist in `folder`, one file each. Raises OSError, UnicodeDecodeError."""
    return {name: (folder / name).read_text("ascii").strip() for name in names if (folder / name).is_file()}


def generate_secrets(folder: Path, names: Sequence[str]) -> None:
    """Generate the named secrets that `folder` does not have (mode 0600). Raises OSError.

    Each file appears once and complete: when two processes start together, both use what the first one wrote.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in names:
        if not (folder / name).exists():
            _generate(folder / name)


def _generate(path: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        Path(temporary).unlink()
