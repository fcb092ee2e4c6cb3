"""JSON files of the sandbox's services, which are written atomically and durably."""

from __future__ import annotations

import json
import os
from pathlib import Path

from actors.errors import ServiceUnavailable


def write_json_file(path: Path, content: object) -> None:
    """Replace the file at `path` by `content` as JSON. Raises ServiceUnavailable, as for a failed service."""
    incomplete = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with incomplete.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        incomplete.replace(path)
        _sync_folder(path.parent)
    except OSError as fault:
        raise ServiceUnavailable(service="sandbox", retry_after=5) from fault


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
