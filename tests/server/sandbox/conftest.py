"""The same fixtures as for the HTTP layer: a server without picture workers, and a check that no fault is logged."""

from __future__ import annotations

from tests.server.http.conftest import no_fault, server

__all__ = ["no_fault", "server"]
