"""The contact sheet of tests.bench.photos: photo, reference, outline and results, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

CELL = 260
LABEL = 18
_GRAY = (225, 225, 225)
_RED = (230, 20, 20)


@dataclass(frozen=True, slots=True)
class Row:
    photo: Path
    reference: Path | None
    results: tuple[Path, ...]
    """matting.png, white-bg.png and enhanced.png, or nothing."""
    label: str


def draw_sheet(rows: list[Row], target: Path) -> None:
    sheet = Image.new("RGB", (6 * CELL, len(rows) * (CELL + LABEL)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = number * (CELL + LABEL)
        draw.text((4, top + 3), row.label, fill=_RED if "done" not in row.label or "FAIL" in row.label else (0, 0, 0))
        for column, picture in enumerate(_pictures(row)):
            sheet.paste(picture, (column * CELL, top + LABEL))
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target)


def _pictures(row: Row) -> list[Image.Image]:
    photo = _opened(row.photo)
    pictures = [photo, _opened(row.reference) if row.reference else Image.new("RGB", photo.size, _GRAY)]
    if row.results:
        pictures.append(_outlined(photo, row.results[0]))
        pictures += [_opened(path) for path in row.results]
    return [_in_cell(picture) for picture in pictures]


def _opened(path: Path) -> Image.Image:
    """RGB; what is transparent on gray, so that it can be told from white."""
    with Image.open(path) as image:
        if image.mode != "RGBA":
            return image.convert("RGB")
        ground = Image.new("RGB", image.size, _GRAY)
        ground.paste(image, mask=image.getchannel("A"))
        return ground


def _outlined(photo: Image.Image, matting: Path) -> Image.Image:
    with Image.open(matting) as image:
        mask = image.getchannel("A").point([0] * 128 + [255] * 128)
    outline = ImageChops.difference(mask.filter(ImageFilter.MaxFilter(3)), mask.filter(ImageFilter.MinFilter(3)))
    drawn = photo.copy()
    drawn.paste(_RED, mask=outline.resize(photo.size))
    return drawn


def _in_cell(picture: Image.Image) -> Image.Image:
    cell = Image.new("RGB", (CELL, CELL), (255, 255, 255))
    picture.thumbnail((CELL - 4, CELL - 4))
    cell.paste(picture, (2, 2))
    return cell
