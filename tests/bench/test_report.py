"""The report holds what was measured, and a chart can be drawn of it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.bench.chart import draw
from tests.bench.figures import Target
from tests.bench.machine import Machine, cpu_model, file_system
from tests.bench.report import table, targets_table, write_report
from tests.bench.samples import results
from tests.bench.servers import BARE, DARKROOM, OBVIOUS

RATES = {BARE: 10_000.0, OBVIOUS: 500.0, DARKROOM: 5000.0}
MOUNTS = """proc /proc proc rw 0 0
/dev/vda / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/vdb /tmp/disk xfs rw 0 0
"""


def machine() -> Machine:
    return Machine(
        "2026-11-23",
        "a2c9a28-dirty",
        "A CPU",
        2,
        "Linux 6",
        "CPython 3.11",
        "3.40",
        "aiohttp 3",
        "wrk 4",
        "a folder",
        "ext4",
        0.0005,
        0.25,
    )


def test_a_table_is_markdown_whatever_its_cells_hold() -> None:
    assert table(("a", "b"), [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x/y | 1 |\n"


def test_a_missed_target_is_seen() -> None:
    said = targets_table([Target("rate", 8, 9.5), Target("wait", 100, 250, at_most=True, unit=" ms")])
    assert "| rate | ≥ 8 | 9.50 | reached |" in said
    assert "| wait | ≤ 100 ms | 250.00 ms | **missed** |" in said


def test_the_report_says_what_was_measured_and_on_what() -> None:
    found = results(RATES, hot=4000)
    said = write_report(found, found.targets(), "## The storm", machine(), rounds=3, seconds=2)
    assert "| task creation | 64 | **10,000** (10,000 to 10,000) | **500** (500 to 500) |" in said
    assert "**5,000** (5,000 to 5,000) | 0.50 | 10.0 |" in said
    assert "10.0 / 30.0" in said and "**120** (event loop 100, writer 20)" in said
    assert "## The storm" in said and "a2c9a28-dirty" in said and "500 µs" in said
    assert "{" not in said and "used 25 % of the processors' time: **too much" in said


def test_the_chart_is_a_picture(tmp_path: Path) -> None:
    draw(results(RATES, hot=4000), tmp_path / "chart.png", "a machine")
    with Image.open(tmp_path / "chart.png") as picture:
        assert picture.width > 1000 and picture.height > 800


def test_the_nearest_mount_says_the_file_system() -> None:
    kinds = [file_system(Path(folder), MOUNTS) for folder in ("/home/me", "/tmp", "/tmp/x", "/tmp/disk/y", "/tmpfoo")]
    assert kinds == ["ext4", "tmpfs", "tmpfs", "xfs", "ext4"]


def test_a_processor_has_a_name() -> None:
    assert cpu_model("processor: 0\nmodel name\t: Fast: One @ 3 GHz\n") == "Fast: One @ 3 GHz"
    assert cpu_model("") != ""
