"""Photos for which no good result is possible are refused with a reason, and no file is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.ports import PictureRefused, PictureTemplate
from server.gateways.pictures.pool import PictureProcesses
from server.gateways.pictures.reasons import RefusalReason
from tests.server.gateways.pictures.images import FLOOR, TEAL, Pixels, draw_ellipses, empty_floor, save_image

pytestmark = pytest.mark.asyncio(loop_scope="module")


def blank() -> Pixels:
    return np.full((500, 400, 3), 128, np.uint8)


def lit_from_one_side() -> Pixels:
    """The centre has colours that are rare at the border, and there is no contour between them."""
    fade = np.linspace(0.6, 1.2, 400)[None, :, None]
    return np.clip(empty_floor() * fade, 0, 255).astype(np.uint8)


def over_the_frame() -> Pixels:
    """A cloth that covers all but the corners of the frame."""
    picture = empty_floor()
    right = [(100, -1), (300, -1), (401, 150), (401, 350)]
    cloth = right + [(399 - x, 499 - y) for x, y in right]
    cv2.fillPoly(picture, [np.array(cloth)], TEAL)
    return picture


def many_objects() -> Pixels:
    places = [(x, y, 30, 30) for x in (80, 200, 320) for y in (100, 250, 400)]
    return draw_ellipses(empty_floor(), places)


def same_colour() -> Pixels:
    """A garment that differs from the floor by a print in its centre and a hardly visible shade."""
    shade = tuple(value - 4 for value in FLOOR)
    picture = draw_ellipses(empty_floor(), [(200, 250, 120, 170)], (shade[0], shade[1], shade[2]))
    noise = np.random.default_rng(5).normal(0, 3, (500, 400, 1))
    picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    for y in range(120, 400, 40):
        picture[y : y + 3, 120:280] = (60, 40, 30)
    return picture


def strip() -> Pixels:
    return np.full((64, 6400, 3), 128, np.uint8)


REFUSED: dict[Callable[[], Pixels], RefusalReason] = {
    blank: RefusalReason.NO_GARMENT,
    empty_floor: RefusalReason.NO_GARMENT,
    lit_from_one_side: RefusalReason.UNCLEAR_EDGE,
    strip: RefusalReason.NO_GARMENT,
    over_the_frame: RefusalReason.FILLS_FRAME,
    many_objects: RefusalReason.SCATTERED,
    same_colour: RefusalReason.UNCLEAR_EDGE,
}


@pytest.mark.parametrize("draw", REFUSED, ids=lambda draw: str(draw.__name__))
async def test_a_photo_is_refused_with_its_reason(
    pictures: PictureProcesses, tmp_path: Path, draw: Callable[[], Pixels]
) -> None:
    source = save_image(draw(), tmp_path / "photo.png")
    await _assert_refused(pictures, source, REFUSED[draw])


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0 cut short"])
async def test_an_unreadable_file_is_refused(pictures: PictureProcesses, tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "photo.png"
    source.write_bytes(data)
    await _assert_refused(pictures, source, RefusalReason.UNREADABLE)


async def _assert_refused(pictures: PictureProcesses, source: Path, reason: RefusalReason) -> None:
    with pytest.raises(PictureRefused) as refusal:
        await pictures.clean(source, source.parent, PictureTemplate.ALL)
    assert refusal.value.reason == reason
    assert list(source.parent.iterdir()) == [source]
