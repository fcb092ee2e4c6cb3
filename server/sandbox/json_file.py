"""Files in which the sandbox's services remember: whole or not at all, and on disk when they say so."""

from __future__ import annotations

import json
import os
from pathlib import Path

from actors.errors import ServiceUnavailable


def write_book(path: Path, content: object) -> None:
    """Replace the file at `path` by `content` as JSON. Raises ServiceUnavailable, as a service that fails would."""
    unfinished = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as fault:
        raise ServiceUnavailable(service="sandbox", retry_after=5) from fault
