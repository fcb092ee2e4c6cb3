"""Measure the cut-out on real photos: `python -m tests.bench.photos DIR [--out build/photos]`.

Each DIR/NAME.jpg is processed by the pool like an upload and a task. NAME.mask.png is its reference mask (255 = the
garment); a photo without a reference is expected to be refused. The results are also shown on a contact sheet.
Exits with 1 when a job failed, or when fewer than 11 of 13 photos with a reference reach an IoU of 0.95.
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

GOOD_IOU = 0.95
MIN_GOOD_SHARE = 11 / 13


@dataclass(frozen=True, slots=True)
class PhotoResult:
    row: Row
    outcome: str
    iou: float | None
    seconds: float
    failed: bool


async def measure(pictures: PictureProcesses, photo: Path, out: Path) -> PhotoResult:
    """Admit and clean one photo; its files are written to `out`/NAME."""
    folder = out / photo.stem
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    outcome, files, failed = await _process(pictures, photo, folder)
    seconds = time.perf_counter() - started
    mask = photo.with_suffix(".mask.png")
    reference = mask if mask.exists() else None
    iou = _iou(reference, files[0] if files else None) if reference else None
    return PhotoResult(Row(photo, reference, tuple(files), _label(photo, outcome, iou)), outcome, iou, seconds, failed)


async def _process(pictures: PictureProcesses, photo: Path, folder: Path) -> tuple[str, list[Path], bool]:
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
    expected, actual = _load_mask(reference, "L"), _load_mask(matting, "A")
    return float(np.count_nonzero(expected & actual) / np.count_nonzero(expected | actual))


def _load_mask(path: Path, channel: str) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        values = image.getchannel("A") if channel == "A" else image.convert("L")
        return np.asarray(values) > 127


def _label(photo: Path, outcome: str, iou: float | None) -> str:
    return f"{photo.stem}: {outcome}" + ("" if iou is None else f", IoU {iou:.3f}{'' if iou >= GOOD_IOU else ' FAIL'}")


async def measure_all(folder: Path, out: Path) -> list[PhotoResult]:
    pictures = PictureProcesses(1)
    await pictures.start()
    try:
        return [await measure(pictures, photo, out) for photo in sorted(folder.glob("*.jpg"))]
    finally:
        await pictures.stop()


def report(results: list[PhotoResult]) -> bool:
    """Print the table and return whether the results are good enough."""
    print(f"{'photo':<20} {'outcome':<14} {'IoU':>6} {'seconds':>8}")
    for result in results:
        iou = "-" if result.iou is None else f"{result.iou:.3f}"
        print(f"{result.row.photo.stem:<20} {result.outcome:<14} {iou:>6} {result.seconds:>8.2f}")
    scores = [result.iou for result in results if result.iou is not None]
    good = sum(score >= GOOD_IOU for score in scores)
    failed = sum(result.failed for result in results)
    slowest = max(result.seconds for result in results)
    print(f"{good} of {len(scores)} reach IoU {GOOD_IOU}; {failed} failed; slowest {slowest:.2f} s")
    return not failed and good >= MIN_GOOD_SHARE * len(scores)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the quality and the time of the cut-out on real photos.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/photos"))
    options = parser.parse_args()
    results = asyncio.run(measure_all(options.folder, options.out))
    if not results:
        print(f"no *.jpg in {options.folder}: name a folder that holds photos")
        return 1
    good_enough = report(results)
    sheet = options.out / "contact-sheet.png"
    draw_sheet([result.row for result in results], sheet)
    print(f"contact sheet: {sheet}")
    return 0 if good_enough else 1


if __name__ == "__main__":
    sys.exit(main())
