"""The development server that `darkroom demo` starts when it is given no URL."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from server.commands.demo_client import DemoFailed
from server.commands.serve import READY_LINE


@contextmanager
def demo_server() -> Iterator[str]:
    """Run a server with default settings on a free port and in a temporary folder; yield its URL.

    Raises DemoFailed.
    """
    with tempfile.TemporaryDirectory(prefix="darkroom-demo-") as name:
        folder = Path(name)
        (folder / "config.toml").touch()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM__")}
        with (folder / "log").open("w+") as log:
            process = subprocess.Popen(  # runs only this package's own command
                [sys.executable, "-P", "-m", "server.commands.main", "serve", "--port", "0"],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            assert process.stdout is not None
            with process.stdout:
                try:
                    yield _read_url(process.stdout, log)
                finally:
                    process.terminate()
                    process.wait()


def _read_url(output: IO[str], log: IO[str]) -> str:
    """Wait until the server prints that it is ready, and return the URL that it prints."""
    for line in output:
        if line.startswith(READY_LINE):
            return line.removeprefix(READY_LINE).strip()
    log.seek(0)
    raise DemoFailed(f"the server of the demo did not start:\n{log.read()}")
