"""A drawn garment photo, the same at every call: a T-shirt on a wooden floor.

`darkroom demo` and the tests use it, so that they need no real photo. The shape of the shirt is known, so that tests
can compare a cut-out with it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]

WIDTH, HEIGHT = 1200, 1500
_SHIRT = (66, 148, 150)
_PRINT = (238, 231, 214)
_BOARD = (182, 150, 116)

# The right half of the shirt from the neck to the hem as Bézier curves, in pixels; its vertical axis is at x = 0.
_RIGHT_HALF = (
    ((95, 330), (60, 372), (0, 388)),  # neckline, towards the centre
    ((95, 330), (190, 352), (268, 392)),  # shoulder
    ((268, 392), (370, 500), (450, 640)),  # sleeve, outer side
    ((450, 640), (390, 690), (322, 712)),  # sleeve, opening
    ((322, 712), (286, 650), (262, 590)),  # sleeve, inner side
    ((262, 590), (250, 860), (276, 1180)),  # side
    ((276, 1180), (140, 1204), (0, 1200)),  # hem
)


def draw_sample(path: Path) -> None:
    """Write the photo to `path`, as JPEG or PNG depending on the suffix."""
    Image.fromarray(sample_photo()).save(path, quality=93)


def sample_photo() -> NDArray[np.uint8]:
    """Return the photo: HEIGHT x WIDTH x 3, RGB."""
    random = np.random.default_rng(20)
    shirt = _shirt_alpha()[..., None]
    shadow = np.roll(cv2.GaussianBlur(shirt, (0, 0), 9), (10, 7), axis=(0, 1))[..., None]
    floor = _floor(random) * (1 - 0.28 * shadow)
    picture = (floor * (1 - shirt) + _cloth(random) * shirt) * _light()[..., None]
    noisy = cv2.GaussianBlur(picture, (0, 0), 0.8) + random.normal(0, 2.5, picture.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def sample_mask() -> NDArray[np.uint8]:
    """Return the mask of the T-shirt: HEIGHT x WIDTH, 255 inside, 0 outside."""
    return np.where(_shirt_alpha() >= 0.5, 255, 0).astype(np.uint8)


def _shirt_alpha() -> FloatArray:
    """Return 1 inside the shirt, 0 outside, and values between on its outline."""
    shape = np.zeros((HEIGHT, WIDTH), np.uint8)
    shift = 4  # the last four bits of a coordinate are its fraction
    points = np.rint(_outline() * 2**shift).astype(np.int32)
    cv2.fillPoly(shape, [points], 255, cv2.LINE_AA, shift)
    return shape.astype(np.float32) / np.float32(255)


def _outline() -> NDArray[np.float64]:
    neckline, *rest = (_bezier(*points) for points in _RIGHT_HALF)
    right = np.concatenate([neckline[::-1], *rest])
    left = right[::-1] * (-1.0, 1.0)
    angle = np.deg2rad(4)  # the shirt is slightly rotated
    rotation = np.array(((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))))
    centre = np.array((0, HEIGHT / 2))
    return np.asarray((np.concatenate([right, left]) - centre) @ rotation + centre + (WIDTH / 2, 0))


def _bezier(start: tuple[int, int], control: tuple[int, int], end: tuple[int, int]) -> NDArray[np.float64]:
    """Return points of a quadratic Bézier curve."""
    t = np.linspace(0, 1, 24)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end)


def _cloth(random: np.random.Generator) -> FloatArray:
    folds = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 42, sigmaY=90)
    weave = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.5)
    shade = 1 + 0.07 * folds / folds.std() + 0.02 * weave / weave.std()
    cloth = np.full((HEIGHT, WIDTH, 3), _SHIRT, np.float32)
    cv2.circle(cloth, (WIDTH // 2, 690), 120, _PRINT, -1, cv2.LINE_AA)
    cv2.circle(cloth, (WIDTH // 2, 690), 84, _SHIRT, -1, cv2.LINE_AA)
    return np.asarray(cloth * shade[..., None], np.float32)


def _floor(random: np.random.Generator) -> FloatArray:
    """Draw boards 150 pixels wide, each with its own lightness, with grain and with dark gaps between them."""
    grain = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.4, sigmaY=40)
    board = np.arange(WIDTH) // 150
    tone = 1 + 0.06 * random.uniform(-1, 1, board.max() + 1)[board]
    gap = np.where(np.arange(WIDTH) % 150 < 4, 0.62, 1.0)
    shade = (1 + 0.05 * grain / grain.std()) * (tone * gap)
    return np.asarray(np.array(_BOARD) * shade[..., None], np.float32)


def _light() -> FloatArray:
    """Return the brightness of light from a window at the upper left."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return np.asarray(1.12 - 0.16 * across / WIDTH - 0.12 * down / HEIGHT, np.float32)
