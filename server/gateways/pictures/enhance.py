"""The picture for a shop's page: square, the garment centred on white, in a gentle light."""

from __future__ import annotations

import cv2
import numpy as np

from server.gateways.pictures.background import Floats
from server.gateways.pictures.decode import Pixels

MARGIN = 0.08
"""White on each side, as a share of the picture's side."""
LARGEST = 2048
SMALLEST = 1024
"""Pixels a side. A smaller garment is enlarged towards this, by half again at most."""
_ENLARGE = 1.5


def enhance(garment: Pixels) -> Pixels:
    """`garment` (RGBA) as a square RGB picture on pure white."""
    top, bottom, left, right = _bounds(garment)
    height, width = bottom - top, right - left
    side = max(height, width) / (1 - 2 * MARGIN)
    target = round(min(LARGEST, max(side, min(SMALLEST, _ENLARGE * side))))
    colour, alpha = _resized(garment[top:bottom, left:right], target / side)
    colour = _sharpened(_lit(colour, alpha), alpha)
    picture = np.ones((target, target, 3), np.float32)
    y, x = (target - alpha.shape[0]) // 2, (target - alpha.shape[1]) // 2
    place = picture[y : y + alpha.shape[0], x : x + alpha.shape[1]]
    place[:] = alpha[..., None] * colour + (1 - alpha[..., None])
    return np.rint(picture * 255).astype(np.uint8)


def _bounds(garment: Pixels) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is visible."""
    seen = garment[..., 3] > 127
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _resized(garment: Pixels, scale: float) -> tuple[Floats, Floats]:
    """Colour (0…1) and alpha (0…1), scaled with the colour weighted by alpha, so that no white creeps in."""
    height, width = garment.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    weighted = np.empty_like(garment)
    for top in range(0, height, 256):
        strip = garment[top : top + 256].astype(np.float32)
        weighted[top : top + 256, :, :3] = np.rint(strip[..., :3] * strip[..., 3:] / 255)
        weighted[top : top + 256, :, 3] = garment[top : top + 256, :, 3]
    small = cv2.resize(weighted, size, interpolation=way).astype(np.float32) / 255
    alpha = np.asarray(small[..., 3], np.float32)
    colour = np.clip(small[..., :3] / np.maximum(alpha[..., None], 1 / 255), 0, 1)
    return np.asarray(colour, np.float32), alpha


def _lit(colour: Floats, alpha: Floats) -> Floats:
    """Lightness spread towards the whole range and lifted where it is dim, hue and chroma left as they are."""
    lab = cv2.cvtColor(colour, cv2.COLOR_RGB2LAB)
    light = lab[..., 0]
    own = light[alpha > 0.5]
    dark, middle, bright = (float(value) for value in np.percentile(own, (1, 50, 99)))
    gain = float(np.clip(96 / max(bright, 1), 1.0, 1.25))
    lifted = np.clip((light - 0.4 * min(dark, 12)) * gain, 0, 100)
    gamma = float(np.clip(1.0 - (55 - middle * gain) / 400, 0.92, 1.0))
    lifted = 100 * (lifted / 100) ** gamma
    lab[..., 0] = 0.65 * lifted + 0.35 * _local_contrast(lifted, alpha, middle)
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1)


def _local_contrast(light: Floats, alpha: Floats, middle: float) -> Floats:
    even = np.where(alpha > 0.5, light, middle)  # the white around would be taken for part of the scene
    equalised = cv2.createCLAHE(clipLimit=1.5, tileGridSize=(6, 6)).apply(np.rint(even * 2.55).astype(np.uint8))
    return equalised.astype(np.float32) / 2.55


def _sharpened(colour: Floats, alpha: Floats) -> Floats:
    """A gentle unsharp mask that looks at the garment only, so its outline gets no halo."""
    sigma = 1.2
    weight = cv2.GaussianBlur(alpha, (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(colour * alpha[..., None], (0, 0), sigma) / np.maximum(weight, 1e-3)
    detail = np.where(weight > 0.5, colour - blurred, 0)
    return np.clip(colour + 0.5 * detail, 0, 1).astype(np.float32)
