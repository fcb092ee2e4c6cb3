"""As for the calls: a server without picture workers, and no fault in the log."""

from __future__ import annotations

from tests.server.http.conftest import edge, no_fault

__all__ = ["edge", "no_fault"]
