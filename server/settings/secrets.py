"""Development secrets: generated once, kept in the data folder for its owner's eyes only."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def kept_secrets(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Those of the named secrets that `folder` holds, a file each. Raises OSError, UnicodeDecodeError."""
    return {name: (folder / name).read_text("ascii").strip() for name in names if (folder / name).is_file()}


def generate_secrets(folder: Path, names: Sequence[str]) -> None:
    """Make the named secrets that `folder` lacks (mode 0600). Raises OSError.

    Each file appears complete and once: of two processes that start together, both use what the first one wrote.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in names:
        if not (folder / name).exists():
            _generate(folder / name)


def _generate(path: Path) -> None:
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            path.hardlink_to(unfinished)
    finally:
        Path(unfinished).unlink()
