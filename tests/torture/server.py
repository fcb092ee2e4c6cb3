"""The server program of the torture suites: `python -m tests.torture.server [--mutant NAME | --stop-at STEP] serve …`.

It has the toy task type. When it stops, it prints the names of the threads that still run.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from unittest.mock import patch

from server.commands.main import main
from server.system import System
from tests.torture.mutants.auth import counting_tries_in_memory
from tests.torture.mutants.commits import answering_before_commit
from tests.torture.mutants.quota import checking_then_acting
from tests.torture.mutants.stop import THREADS_LEFT, leaving_without_commit
from tests.torture.mutants.tasks import never_sweeping
from tests.torture.stops import stopping_at
from tests.torture.toy_type import TYPES_WITH_TOY

MUTANTS = {
    "answering-before-commit": answering_before_commit,
    "leaving-without-commit": leaving_without_commit,
    "checking-then-acting": checking_then_acting,
    "counting-tries-in-memory": counting_tries_in_memory,
    "never-sweeping": never_sweeping,
}

OPTIONS: dict[str, Callable[[str], AbstractContextManager[None]]] = {
    "--mutant": lambda name: MUTANTS[name](),
    "--stop-at": stopping_at,
}


def _run() -> None:
    with ExitStack() as stack:
        stack.enter_context(patch.object(System, "start", partial(System.start, task_types=TYPES_WITH_TOY)))
        if sys.argv[1] in OPTIONS:
            stack.enter_context(OPTIONS[sys.argv[1]](sys.argv[2]))
            del sys.argv[1:3]
        try:
            main()
        finally:
            names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
            print(THREADS_LEFT, *names, sep="\n", flush=True)


if __name__ == "__main__":
    _run()
