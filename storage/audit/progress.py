"""How the audit reports its progress."""

from __future__ import annotations

from collections.abc import Callable

ReportProgress = Callable[[str, int, int], None]
"""Called with what is being checked, how many units of it are done, and their total (0 when it is unknown)."""
