"""CPU time by thread and memory, as Linux writes them."""

from __future__ import annotations

import os
import sys

import pytest

from tests.bench.procfs import (
    TICK,
    Company,
    Thread,
    busy_seconds,
    parse_thread,
    peak_memory,
    resident_memory,
    settle,
    spent,
    status_bytes,
    threads,
)

STAT = "4711 (a (bad) name) S 1 4711 4711 0 -1 4194304 9 0 0 0 {user} {system} 0 0 20 0 4 0 {born} 289 14 0"

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the bench reads /proc")


def test_a_thread_is_read_whatever_its_name_holds() -> None:
    assert parse_thread(STAT.format(user=30, system=20, born=999)) == Thread(4711, 999, 50 * TICK)


def test_what_was_spent_goes_to_names_in_the_order_of_birth() -> None:
    before = [Thread(1, 10, 1.0), Thread(2, 11, 5.0)]
    after = [Thread(1, 10, 1.5), Thread(2, 11, 7.0), Thread(3, 12, 0.25), Thread(4, 12, 0.5), Thread(5, 90, 0.125)]
    names = ("event loop", "writer", "readers", "readers")
    assert spent(before, after, names) == {"event loop": 0.5, "writer": 2.0, "readers": 0.75, "others": 0.125}


def test_memory_is_in_bytes() -> None:
    status = "Name:\tpython\nVmHWM:\t   57108 kB\nVmRSS:\t   57000 kB\n"
    assert (status_bytes(status, "VmHWM"), status_bytes(status, "VmRSS")) == (57108 * 1024, 57000 * 1024)


def test_a_busy_machine_is_one_that_does_not_idle() -> None:
    assert busy_seconds("cpu  100 20 30 9000 800 5 6 7 0 0\ncpu0 1 1\n") == pytest.approx(168 * TICK)


@needs_linux
def test_this_process_can_be_looked_at() -> None:
    mine = threads(os.getpid())
    assert mine[0].id == os.getpid() and mine[0].seconds > 0
    resident = resident_memory(os.getpid())
    assert peak_memory(os.getpid()) >= resident > 1_000_000
    settle(os.getpid())
    assert Company().share() >= 0
