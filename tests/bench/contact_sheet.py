"""The contact sheet of tests.bench.photos: one row per photo, with its reference, outline and results."""

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
    """matting.png, white-bg.png and enhanced.png, or empty if the photo was refused."""
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
    photo = _open_rgb(row.photo)
    pictures = [photo, _open_rgb(row.reference) if row.reference else Image.new("RGB", photo.size, _GRAY)]
    if row.results:
        pictures.append(_draw_outline(photo, row.results[0]))
        pictures += [_open_rgb(path) for path in row.results]
    return [_fit_into_cell(picture) for picture in pictures]


def _open_rgb(path: Path) -> Image.Image:
    """Open as RGB, with transparency on gray, so that it differs from white."""
    with Image.open(path) as image:
        if image.mode != "RGBA":
            return image.convert("RGB")
        background = Image.new("RGB", image.size, _GRAY)
        background.paste(image, mask=image.getchannel("A"))
        return background


def _draw_outline(photo: Image.Image, matting: Path) -> Image.Image:
    with Image.open(matting) as image:
        mask = image.getchannel("A").point([0] * 128 + [255] * 128)
    outline = ImageChops.difference(mask.filter(ImageFilter.MaxFilter(3)), mask.filter(ImageFilter.MinFilter(3)))
    outlined = photo.copy()
    outlined.paste(_RED, mask=outline.resize(photo.size))
    return outlined


def _fit_into_cell(picture: Image.Image) -> Image.Image:
    cell = Image.new("RGB", (CELL, CELL), (255, 255, 255))
    picture.thumbnail((CELL - 4, CELL - 4))
    cell.paste(picture, (2, 2))
    return cell
