"""The server program of the torture suites: `python -m tests.torture.server [--mutant NAME] serve …`.

When it stops, it prints the names of the threads that still run.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack

from server.commands.main import main
from tests.torture.mutants.auth import counting_tries_in_memory
from tests.torture.mutants.commits import answering_before_commit
from tests.torture.mutants.quota import checking_then_acting
from tests.torture.mutants.stop import THREADS_LEFT, leaving_without_commit

MUTANTS = {
    "answering-before-commit": answering_before_commit,
    "leaving-without-commit": leaving_without_commit,
    "checking-then-acting": checking_then_acting,
    "counting-tries-in-memory": counting_tries_in_memory,
}


def _run() -> None:
    with ExitStack() as stack:
        if sys.argv[1] == "--mutant":
            stack.enter_context(MUTANTS[sys.argv[2]]())
            del sys.argv[1:3]
        try:
            main()
        finally:
            names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
            print(THREADS_LEFT, *names, sep="\n", flush=True)


if __name__ == "__main__":
    _run()
