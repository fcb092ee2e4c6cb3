"""A garment photo of the project's own: a T-shirt on a wooden floor, drawn, the same at every call.

It is for `darkroom demo` and for tests, so that neither needs somebody's photo. The shape is known, so a cut-out can be
measured against it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

WIDTH, HEIGHT = 1200, 1500
_SHIRT = (66, 148, 150)
_PRINT = (238, 231, 214)
_BOARD = (182, 150, 116)

# The right half of the shirt from the neck to the hem, around a vertical axis at x = 0; in pixels.
_HALF = (
    ((95, 330), (60, 372), (0, 388)),  # neckline, towards the middle
    ((95, 330), (190, 352), (268, 392)),  # shoulder
    ((268, 392), (370, 500), (450, 640)),  # sleeve, outer side
    ((450, 640), (390, 690), (322, 712)),  # sleeve, opening
    ((322, 712), (286, 650), (262, 590)),  # sleeve, inner side
    ((262, 590), (250, 860), (276, 1180)),  # side
    ((276, 1180), (140, 1204), (0, 1200)),  # hem
)


def draw_sample(path: Path) -> None:
    """Write the photo to `path`, as JPEG or PNG by its suffix."""
    Image.fromarray(sample_photo()).save(path, quality=93)


def sample_photo() -> NDArray[np.uint8]:
    """The photo: HEIGHT x WIDTH x 3, RGB."""
    random = np.random.default_rng(20)
    shirt = _soft_shirt()[..., None]
    shadow = np.roll(cv2.GaussianBlur(shirt, (0, 0), 9), (10, 7), axis=(0, 1))[..., None]
    floor = _floor(random) * (1 - 0.28 * shadow)
    picture = (floor * (1 - shirt) + _cloth(random) * shirt) * _light()[..., None]
    noisy = cv2.GaussianBlur(picture, (0, 0), 0.8) + random.normal(0, 2.5, picture.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def sample_mask() -> NDArray[np.uint8]:
    """Where the T-shirt is in the photo: HEIGHT x WIDTH, 255 inside, 0 outside."""
    return np.where(_soft_shirt() >= 0.5, 255, 0).astype(np.uint8)


def _soft_shirt() -> Floats:
    """1 inside the shirt, 0 outside, between on its edge."""
    shape = np.zeros((HEIGHT, WIDTH), np.uint8)
    shift = 4  # the last four bits of a coordinate are its fraction
    points = np.rint(_outline() * 2**shift).astype(np.int32)
    cv2.fillPoly(shape, [points], 255, cv2.LINE_AA, shift)
    return shape.astype(np.float32) / np.float32(255)


def _outline() -> NDArray[np.float64]:
    neck, *rest = (_curve(*bend) for bend in _HALF)
    right = np.concatenate([neck[::-1], *rest])
    left = right[::-1] * (-1.0, 1.0)
    turn = np.deg2rad(4)  # nobody lays a shirt down quite straight
    rotation = np.array(((np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))))
    middle = np.array((0, HEIGHT / 2))
    return np.asarray((np.concatenate([right, left]) - middle) @ rotation + middle + (WIDTH / 2, 0))


def _curve(start: tuple[int, int], pull: tuple[int, int], end: tuple[int, int]) -> NDArray[np.float64]:
    """Points of a quadratic Bézier curve."""
    along = np.linspace(0, 1, 24)[:, None]
    return np.asarray((1 - along) ** 2 * start + 2 * along * (1 - along) * pull + along**2 * end)


def _cloth(random: np.random.Generator) -> Floats:
    folds = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 42, sigmaY=90)
    weave = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.5)
    shade = 1 + 0.07 * folds / folds.std() + 0.02 * weave / weave.std()
    cloth = np.full((HEIGHT, WIDTH, 3), _SHIRT, np.float32)
    cv2.circle(cloth, (WIDTH // 2, 690), 120, _PRINT, -1, cv2.LINE_AA)
    cv2.circle(cloth, (WIDTH // 2, 690), 84, _SHIRT, -1, cv2.LINE_AA)
    return np.asarray(cloth * shade[..., None], np.float32)


def _floor(random: np.random.Generator) -> Floats:
    """Boards 150 pixels wide, each of its own tone, with grain along them and dark gaps between."""
    grain = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.4, sigmaY=40)
    board = np.arange(WIDTH) // 150
    tone = 1 + 0.06 * random.uniform(-1, 1, board.max() + 1)[board]
    gap = np.where(np.arange(WIDTH) % 150 < 4, 0.62, 1.0)
    shade = (1 + 0.05 * grain / grain.std()) * (tone * gap)
    return np.asarray(np.array(_BOARD) * shade[..., None], np.float32)


def _light() -> Floats:
    """A window at the upper left."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return np.asarray(1.12 - 0.16 * across / WIDTH - 0.12 * down / HEIGHT, np.float32)
