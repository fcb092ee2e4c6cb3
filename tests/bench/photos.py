"""Measure the cut-out on real photos: `python -m tests.bench.photos DIR [--out build/photos]`.

Each DIR/NAME.jpg goes through the pool as an upload and a task would. NAME.mask.png, where there is one, is the
reference (255 = the garment); a photo without one is expected to be refused. A contact sheet shows what numbers do not.
Exits with 1 when something broke, or when fewer than 11 in 13 of the photos with a reference reach an IoU of 0.95.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actors.ports import PictureRefused, PictureTemplate
from server.gateways.pictures.pool import PictureProcesses
from tests.bench.contact_sheet import Row, draw_sheet

GOOD = 0.95
SHARE = 11 / 13


@dataclass(frozen=True, slots=True)
class Measured:
    row: Row
    outcome: str
    iou: float | None
    seconds: float
    broken: bool


async def measure(pictures: PictureProcesses, photo: Path, out: Path) -> Measured:
    """Admit and clean one photo; what it makes stays in `out`/NAME."""
    folder = out / photo.stem
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    outcome, files, broken = await _carry_out(pictures, photo, folder)
    seconds = time.perf_counter() - begun
    reference = photo.with_suffix(".mask.png")
    known = reference if reference.exists() else None
    iou = _iou(known, files[0] if files else None) if known else None
    return Measured(Row(photo, known, tuple(files), _label(photo, outcome, iou)), outcome, iou, seconds, broken)


async def _carry_out(pictures: PictureProcesses, photo: Path, folder: Path) -> tuple[str, list[Path], bool]:
    try:
        await pictures.admit(photo, folder / "admitted.jpg")
        return "done", await pictures.clean(folder / "admitted.jpg", folder, PictureTemplate.ALL), False
    except PictureRefused as refusal:
        return refusal.reason, [], refusal.reason in ("crashed", "time_limit", "memory_limit")
    except Exception as fault:
        traceback.print_exc()
        return type(fault).__name__, [], True


def _iou(reference: Path, matting: Path | None) -> float:
    if matting is None:
        return 0.0
    wanted, got = _mask(reference, "L"), _mask(matting, "A")
    return float(np.count_nonzero(wanted & got) / np.count_nonzero(wanted | got))


def _mask(path: Path, channel: str) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        layer = image.getchannel("A") if channel == "A" else image.convert("L")
        return np.asarray(layer) > 127


def _label(photo: Path, outcome: str, iou: float | None) -> str:
    return f"{photo.stem}: {outcome}" + ("" if iou is None else f", IoU {iou:.3f}{'' if iou >= GOOD else ' FAIL'}")


async def measure_all(folder: Path, out: Path) -> list[Measured]:
    pictures = PictureProcesses(1)
    await pictures.start()
    try:
        return [await measure(pictures, photo, out) for photo in sorted(folder.glob("*.jpg"))]
    finally:
        await pictures.stop()


def report(results: list[Measured]) -> bool:
    """Print the table; whether the photos came out well enough."""
    print(f"{'photo':<20} {'outcome':<14} {'IoU':>6} {'seconds':>8}")
    for result in results:
        iou = "-" if result.iou is None else f"{result.iou:.3f}"
        print(f"{result.row.photo.stem:<20} {result.outcome:<14} {iou:>6} {result.seconds:>8.2f}")
    scores = [result.iou for result in results if result.iou is not None]
    good = sum(score >= GOOD for score in scores)
    broken = sum(result.broken for result in results)
    slowest = max(result.seconds for result in results)
    print(f"{good} of {len(scores)} reach IoU {GOOD}; {broken} broken; slowest {slowest:.2f} s")
    return not broken and good >= SHARE * len(scores)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the cut-out on real photos.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/photos"))
    options = parser.parse_args()
    results = asyncio.run(measure_all(options.folder, options.out))
    if not results:
        print(f"no *.jpg in {options.folder}: name a folder of photos")
        return 1
    well = report(results)
    sheet = options.out / "contact-sheet.png"
    draw_sheet([result.row for result in results], sheet)
    print(f"contact sheet: {sheet}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
