"""The picture for a shop's page: square, the garment centred on white, with adjusted lightness and sharpness."""

from __future__ import annotations

import cv2
import numpy as np

from server.gateways.pictures.background import FloatArray
from server.gateways.pictures.decode import Pixels

MARGIN = 0.08
"""White margin on each side, as a share of the picture's side."""
MAX_OUTPUT_SIDE = 2048
MIN_OUTPUT_SIDE = 1024
"""Pixels. A smaller garment is enlarged towards this size, by _MAX_UPSCALE at most."""
_MAX_UPSCALE = 1.5


def enhance(cutout: Pixels) -> Pixels:
    """Return `cutout` (RGBA) as a square RGB picture on pure white."""
    top, bottom, left, right = _bounding_box(cutout)
    height, width = bottom - top, right - left
    side = max(height, width) / (1 - 2 * MARGIN)
    target = round(min(MAX_OUTPUT_SIDE, max(side, min(MIN_OUTPUT_SIDE, _MAX_UPSCALE * side))))
    colour, alpha = _resize(cutout[top:bottom, left:right], target / side)
    colour = _sharpen(_adjust_lightness(colour, alpha), alpha)
    picture = np.ones((target, target, 3), np.float32)
    y, x = (target - alpha.shape[0]) // 2, (target - alpha.shape[1]) // 2
    area = picture[y : y + alpha.shape[0], x : x + alpha.shape[1]]
    area[:] = alpha[..., None] * colour + (1 - alpha[..., None])
    return np.rint(picture * 255).astype(np.uint8)


def _bounding_box(cutout: Pixels) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the visible part."""
    visible = cutout[..., 3] > 127
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _resize(cutout: Pixels, scale: float) -> tuple[FloatArray, FloatArray]:
    """Return colour (0…1) and alpha (0…1), scaled.

    The colour is premultiplied by alpha while it is scaled, so that no white of the background mixes into it.
    """
    height, width = cutout.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    premultiplied = np.empty_like(cutout)
    for top in range(0, height, 256):  # in strips, so that the floats fit the memory limit
        strip = cutout[top : top + 256].astype(np.float32)
        premultiplied[top : top + 256, :, :3] = np.rint(strip[..., :3] * strip[..., 3:] / 255)
        premultiplied[top : top + 256, :, 3] = cutout[top : top + 256, :, 3]
    resized = cv2.resize(premultiplied, size, interpolation=interpolation).astype(np.float32) / 255
    alpha = np.asarray(resized[..., 3], np.float32)
    colour = np.clip(resized[..., :3] / np.maximum(alpha[..., None], 1 / 255), 0, 1)
    return np.asarray(colour, np.float32), alpha


def _adjust_lightness(colour: FloatArray, alpha: FloatArray) -> FloatArray:
    """Stretch the lightness towards the whole range and brighten dark garments; hue and chroma do not change."""
    lab = cv2.cvtColor(colour, cv2.COLOR_RGB2LAB)
    lightness = lab[..., 0]
    garment = lightness[alpha > 0.5]
    dark, median, bright = (float(value) for value in np.percentile(garment, (1, 50, 99)))
    gain = float(np.clip(96 / max(bright, 1), 1.0, 1.25))
    stretched = np.clip((lightness - 0.4 * min(dark, 12)) * gain, 0, 100)
    gamma = float(np.clip(1.0 - (55 - median * gain) / 400, 0.92, 1.0))
    stretched = 100 * (stretched / 100) ** gamma
    lab[..., 0] = 0.65 * stretched + 0.35 * _equalize_locally(stretched, alpha, median)
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1)


def _equalize_locally(lightness: FloatArray, alpha: FloatArray, median: float) -> FloatArray:
    """Apply CLAHE, with the white around the garment replaced by its median, so that white does not count."""
    filled = np.where(alpha > 0.5, lightness, median)
    equalized = cv2.createCLAHE(clipLimit=1.5, tileGridSize=(6, 6)).apply(np.rint(filled * 2.55).astype(np.uint8))
    return equalized.astype(np.float32) / 2.55


def _sharpen(colour: FloatArray, alpha: FloatArray) -> FloatArray:
    """Apply a weak unsharp mask that is weighted by alpha, so that the outline gets no halo."""
    sigma = 1.2
    weight = cv2.GaussianBlur(alpha, (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(colour * alpha[..., None], (0, 0), sigma) / np.maximum(weight, 1e-3)
    detail = np.where(weight > 0.5, colour - blurred, 0)
    return np.clip(colour + 0.5 * detail, 0, 1).astype(np.float32)
