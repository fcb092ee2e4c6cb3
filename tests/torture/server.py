"""`darkroom` as the torture suites start it: `python -m tests.torture.server [--broken NAME] serve …`.

When it has stopped, it prints the threads that are left.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack

from server.commands.main import main
from tests.torture.mutants import SERVERS, THREADS_LEFT


def _run() -> None:
    with ExitStack() as stack:
        if sys.argv[1] == "--broken":
            stack.enter_context(SERVERS[sys.argv[2]]())
            del sys.argv[1:3]
        try:
            main()
        finally:
            left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
            print(THREADS_LEFT, *left, sep="\n", flush=True)


if __name__ == "__main__":
    _run()
