"""Matting: an alpha channel at full size with a soft outline, and the garment's colours without the background's.

The mask comes from a small copy of the photo. A guided filter (He, Sun, Tang, "Guided Image Filtering", 2010) fits, on
a copy of medium size, a local linear model from colour to alpha. The coefficients are smooth, so they can be upscaled
and applied to the photo itself. This is done tile by tile, and only for tiles that the outline crosses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from server.gateways.pictures.background import FloatArray, Mask
from server.gateways.pictures.decode import Pixels

_MODEL_SIDE = 1000
"""Pixels. The long side of the medium copy."""
_BAND_RADIUS = 1 / 160
"""Radius of the filter and of the trimap's unknown band, as a share of the long side."""
_REGULARIZATION = 1e-3
_TILE_SIDE = 512


@dataclass(frozen=True, slots=True)
class _MattingModel:
    """What is fitted on the medium copy. The two masks are a trimap: alpha is unknown between them."""

    coefficients: FloatArray  # alpha = slope (3) · colour + offset
    foreground: FloatArray  # the garment's own colours, extended over its outline
    sure_foreground: Mask
    possible_foreground: Mask


def cut_out(pixels: Pixels, mask: Mask) -> Pixels:
    """Return `pixels` (RGB) as RGBA of the same size, the garment opaque and the rest transparent white."""
    height, width = pixels.shape[:2]
    model = _fit_model(pixels, mask)
    result = np.full((height, width, 4), 255, np.uint8)
    for tile in _tiles(height, width):
        result[tile] = _matte_tile(pixels[tile], model, tile, (height, width))
    return result


def _fit_model(pixels: Pixels, mask: Mask) -> _MattingModel:
    height, width = pixels.shape[:2]
    scale = min(1.0, _MODEL_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    guide = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
    resized = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    radius = max(2, round(_BAND_RADIUS * max(size)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    refined = _refine_mask(guide, (resized > 0.5).astype(np.uint8), radius)
    sure = np.asarray(cv2.erode(refined, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)
    possible = np.asarray(cv2.dilate(refined, kernel), np.uint8)
    coefficients = _guided_filter(guide, refined.astype(np.float32), max(2, radius // 2))
    return _MattingModel(coefficients, _estimate_foreground(guide, sure, 3 * radius), sure, possible)


def _refine_mask(guide: FloatArray, mask: Mask, radius: int) -> Mask:
    """Move the outline of `mask` to the contour that the photo shows nearby."""
    coefficients = _guided_filter(guide, mask.astype(np.float32), radius)
    alpha = (coefficients[..., :3] * guide).sum(axis=2) + coefficients[..., 3]
    return np.asarray(cv2.medianBlur((alpha > 0.5).astype(np.uint8), 5), np.uint8)


def _guided_filter(guide: FloatArray, target: FloatArray, radius: int) -> FloatArray:
    """Return the guided filter's coefficients per pixel.

    They are the slope (3) and offset of a least-squares fit of target over guide in a window, averaged over windows.
    """

    def mean(values: FloatArray) -> FloatArray:
        size = (2 * radius + 1, 2 * radius + 1)
        return np.asarray(cv2.boxFilter(values, -1, size, borderType=cv2.BORDER_REFLECT), np.float32)

    guide_mean, target_mean = mean(guide), mean(target)
    variance = np.empty((*target.shape, 3, 3), np.float32)
    for row in range(3):
        for column in range(row, 3):
            product = mean(guide[..., row] * guide[..., column]) - guide_mean[..., row] * guide_mean[..., column]
            variance[..., row, column] = variance[..., column, row] = product
    variance += _REGULARIZATION * np.eye(3, dtype=np.float32)
    covariance = mean(guide * target[..., None]) - guide_mean * target_mean[..., None]
    slope = np.linalg.solve(variance, covariance[..., None])[..., 0]
    offset = target_mean - (slope * guide_mean).sum(axis=2)
    return mean(np.dstack((slope, offset)))


def _estimate_foreground(guide: FloatArray, sure_foreground: Mask, radius: int) -> FloatArray:
    """Return the mean colour of the sure foreground nearby, or the photo's own colour where there is none."""
    size = (2 * radius + 1, 2 * radius + 1)
    weight = cv2.boxFilter(sure_foreground.astype(np.float32), -1, size)[..., None]
    colour = cv2.boxFilter(guide * sure_foreground[..., None], -1, size)
    return np.where(weight > 0.01, colour / np.maximum(weight, 0.01), guide).astype(np.float32)


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, _TILE_SIDE):
        for left in range(0, width, _TILE_SIDE):
            yield slice(top, min(top + _TILE_SIDE, height)), slice(left, min(left + _TILE_SIDE, width))


def _matte_tile(pixels: Pixels, model: _MattingModel, tile: tuple[slice, slice], frame: tuple[int, int]) -> Pixels:
    """Return the RGBA pixels of one tile of a photo of the size `frame`."""
    sure = _upscale(model.sure_foreground, tile, frame)
    possible = _upscale(model.possible_foreground, tile, frame)
    if sure.min() == 1:
        return np.dstack((pixels, np.full(pixels.shape[:2], 255, np.uint8)))
    if possible.max() == 0:
        return np.full((*pixels.shape[:2], 4), (255, 255, 255, 0), np.uint8)
    colour = pixels.astype(np.float32) / 255
    coefficients = _upscale(model.coefficients, tile, frame)
    alpha = (coefficients[..., :3] * colour).sum(axis=2) + coefficients[..., 3]
    alpha = np.clip((alpha - 0.25) / 0.5, 0, 1)  # the filter blurs, so values near 0 and 1 are taken as 0 and 1
    alpha = np.where(sure >= 1, 1, np.where(possible <= 0, 0, alpha))[..., None]
    decontaminated = alpha * colour + (1 - alpha) * _upscale(model.foreground, tile, frame)
    decontaminated = np.where(alpha > 0, decontaminated, 1.0)
    return np.asarray(np.rint(np.dstack((decontaminated, alpha)) * 255), np.uint8)


def _upscale(small: NDArray[np.float32] | Mask, tile: tuple[slice, slice], frame: tuple[int, int]) -> FloatArray:
    """Return the part of `small` that lies under `tile`, at the scale of the frame."""
    rows, columns = tile
    scale_y, scale_x = small.shape[0] / frame[0], small.shape[1] / frame[1]
    matrix = np.array(
        [
            [scale_x, 0, (columns.start + 0.5) * scale_x - 0.5],
            [0, scale_y, (rows.start + 0.5) * scale_y - 0.5],
        ]
    )
    size = (columns.stop - columns.start, rows.stop - rows.start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(small.astype(np.float32), matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
