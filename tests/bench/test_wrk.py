"""wrk's figures are read from what it prints, and what is no figure is never a number."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import wrk
from tests.bench.wrk import Load, WrkFailed, WrkMissing, find_wrk, parse

SAID = """Running 3s test @ http://127.0.0.1:4711
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     7.39ms    2.00ms  49.31ms   90.00%
    Req/Sec     8.30k   500.00     9.10k    70.00%
  25000 requests in 2.50s, 12.00MB read
  Non-2xx or 3xx responses: 5000
figures 25000 2500000 5000 2 1 7390 49310 60000
"""


def test_figures_are_read_in_seconds() -> None:
    load = parse(SAID)
    assert load == Load(25_000, 2.5, refused=5000, broken=2, late=1, p50=0.00739, p99=0.04931, slowest=0.06)
    assert (load.rate, load.accepted) == (10_000, 8000)


@pytest.mark.parametrize(
    "said", ["", "unable to connect to 127.0.0.1:1 Connection refused\n", SAID.split("figures")[0]]
)
def test_no_figures_are_an_error(said: str) -> None:
    with pytest.raises(WrkFailed, match="no figures"):
        parse(said)


def test_a_missing_wrk_is_told_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WrkMissing, match="apt install wrk"):
        find_wrk()
    assert wrk.INSTALL in str(WrkMissing())
