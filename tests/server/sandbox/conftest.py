"""As for the calls: a server without picture workers, and no fault in the log."""

from __future__ import annotations

from tests.server.http.conftest import no_fault, server

__all__ = ["no_fault", "server"]
