"""Photos of which no good picture can be made: a reason, and no file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.ports import PictureRefused, PictureTemplate
from server.gateways.pictures.pool import PictureProcesses
from server.gateways.pictures.reasons import Refusal
from tests.server.gateways.pictures.drawings import FLOOR, TEAL, Pixels, saved, scene, with_blobs

pytestmark = pytest.mark.asyncio(loop_scope="module")


def blank() -> Pixels:
    return np.full((500, 400, 3), 128, np.uint8)


def lit_from_one_side() -> Pixels:
    """The middle has tones that the border has little of, and they fade into it."""
    fade = np.linspace(0.6, 1.2, 400)[None, :, None]
    return np.clip(scene() * fade, 0, 255).astype(np.uint8)


def over_the_frame() -> Pixels:
    """A cloth that leaves only the corners free."""
    picture = scene()
    right = [(100, -1), (300, -1), (401, 150), (401, 350)]
    cloth = right + [(399 - x, 499 - y) for x, y in right]
    cv2.fillPoly(picture, [np.array(cloth)], TEAL)
    return picture


def many_things() -> Pixels:
    places = [(x, y, 30, 30) for x in (80, 200, 320) for y in (100, 250, 400)]
    return with_blobs(scene(), places)


def same_colour() -> Pixels:
    """A garment that differs from the floor by a print in its middle and a shade that nobody would swear to."""
    shade = tuple(value - 4 for value in FLOOR)
    picture = with_blobs(scene(), [(200, 250, 120, 170)], (shade[0], shade[1], shade[2]))
    noise = np.random.default_rng(5).normal(0, 3, (500, 400, 1))
    picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    for y in range(120, 400, 40):
        picture[y : y + 3, 120:280] = (60, 40, 30)
    return picture


def strip() -> Pixels:
    return np.full((64, 6400, 3), 128, np.uint8)


REFUSED: dict[Callable[[], Pixels], Refusal] = {
    blank: Refusal.NO_GARMENT,
    scene: Refusal.NO_GARMENT,
    lit_from_one_side: Refusal.UNCLEAR_EDGE,
    strip: Refusal.NO_GARMENT,
    over_the_frame: Refusal.FILLS_FRAME,
    many_things: Refusal.SCATTERED,
    same_colour: Refusal.UNCLEAR_EDGE,
}


@pytest.mark.parametrize("draw", REFUSED, ids=lambda draw: str(draw.__name__))
async def test_refused(pictures: PictureProcesses, tmp_path: Path, draw: Callable[[], Pixels]) -> None:
    source = saved(draw(), tmp_path / "photo.png")
    await _refused(pictures, source, REFUSED[draw])


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0 cut short"])
async def test_unreadable(pictures: PictureProcesses, tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "photo.png"
    source.write_bytes(data)
    await _refused(pictures, source, Refusal.UNREADABLE)


async def _refused(pictures: PictureProcesses, source: Path, reason: Refusal) -> None:
    with pytest.raises(PictureRefused) as refusal:
        await pictures.clean(source, source.parent, PictureTemplate.ALL)
    assert refusal.value.reason == reason
    assert list(source.parent.iterdir()) == [source]
