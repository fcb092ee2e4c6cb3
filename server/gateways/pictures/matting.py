"""The outline at full size: a soft edge that follows the photo, in colours free of the background.

The mask comes from a small copy. A guided filter (He, Sun, Tang, "Guided Image Filtering", 2010) learns on a copy of
middle size how the mask depends on the colours near the outline; what it learnt is smooth, so it is applied to the
photo itself, tile by tile, and only to tiles that the outline crosses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from server.gateways.pictures.background import Floats, Mask
from server.gateways.pictures.decode import Pixels

_LEARN_SIDE = 1000
_REACH = 1 / 160
"""Radius of the filter, and of the band where the edge may be, as a share of the long side."""
_SMOOTHNESS = 1e-3
_TILE = 512


@dataclass(frozen=True, slots=True)
class _Learnt:
    """On the middle copy. alpha = slope · colour + offset inside the band; `inner` and `outer` bound the band."""

    model: Floats  # slope (3) and offset
    foreground: Floats  # the garment's own colour, continued over its edge
    inner: Mask
    outer: Mask


def cut_out(pixels: Pixels, mask: Mask) -> Pixels:
    """`pixels` (RGB) as RGBA of the same size: the garment opaque, the rest transparent and white, the edge soft."""
    height, width = pixels.shape[:2]
    learnt = _learn(pixels, mask)
    result = np.full((height, width, 4), 255, np.uint8)
    for tile in _tiles(height, width):
        result[tile] = _tile(pixels[tile], learnt, tile, (height, width))
    return result


def _learn(pixels: Pixels, mask: Mask) -> _Learnt:
    height, width = pixels.shape[:2]
    scale = min(1.0, _LEARN_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    guide = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
    soft = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    reach = max(2, round(_REACH * max(size)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    hard = _followed(guide, (soft > 0.5).astype(np.uint8), reach)
    inner = np.asarray(cv2.erode(hard, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)
    outer = np.asarray(cv2.dilate(hard, kernel), np.uint8)
    model = _guided_filter(guide, hard.astype(np.float32), max(2, reach // 2))
    return _Learnt(model, _continued(guide, inner, 3 * reach), inner, outer)


def _followed(guide: Floats, mask: Mask, reach: int) -> Mask:
    """`mask` moved to the edge that the photo has nearby."""
    model = _guided_filter(guide, mask.astype(np.float32), reach)
    alpha = (model[..., :3] * guide).sum(axis=2) + model[..., 3]
    return np.asarray(cv2.medianBlur((alpha > 0.5).astype(np.uint8), 5), np.uint8)


def _guided_filter(guide: Floats, target: Floats, radius: int) -> Floats:
    """Per pixel the least-squares slope (3) and offset of target over guide in a window, averaged over windows."""

    def mean(values: Floats) -> Floats:
        size = (2 * radius + 1, 2 * radius + 1)
        return np.asarray(cv2.boxFilter(values, -1, size, borderType=cv2.BORDER_REFLECT), np.float32)

    centre, level = mean(guide), mean(target)
    spread = np.empty((*target.shape, 3, 3), np.float32)
    for row in range(3):
        for column in range(row, 3):
            product = mean(guide[..., row] * guide[..., column]) - centre[..., row] * centre[..., column]
            spread[..., row, column] = spread[..., column, row] = product
    spread += _SMOOTHNESS * np.eye(3, dtype=np.float32)
    together = mean(guide * target[..., None]) - centre * level[..., None]
    slope = np.linalg.solve(spread, together[..., None])[..., 0]
    offset = level - (slope * centre).sum(axis=2)
    return mean(np.dstack((slope, offset)))


def _continued(guide: Floats, inner: Mask, radius: int) -> Floats:
    """The mean colour of the surely-garment pixels nearby; where there is none, the photo's own."""
    size = (2 * radius + 1, 2 * radius + 1)
    weight = cv2.boxFilter(inner.astype(np.float32), -1, size)[..., None]
    colour = cv2.boxFilter(guide * inner[..., None], -1, size)
    return np.where(weight > 0.01, colour / np.maximum(weight, 0.01), guide).astype(np.float32)


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            yield slice(top, min(top + _TILE, height)), slice(left, min(left + _TILE, width))


def _tile(pixels: Pixels, learnt: _Learnt, tile: tuple[slice, slice], frame: tuple[int, int]) -> Pixels:
    inner, outer = _enlarged(learnt.inner, tile, frame), _enlarged(learnt.outer, tile, frame)
    if inner.min() == 1:
        return np.dstack((pixels, np.full(pixels.shape[:2], 255, np.uint8)))
    if outer.max() == 0:
        return np.full((*pixels.shape[:2], 4), (255, 255, 255, 0), np.uint8)
    colour = pixels.astype(np.float32) / 255
    model = _enlarged(learnt.model, tile, frame)
    alpha = (model[..., :3] * colour).sum(axis=2) + model[..., 3]
    alpha = np.clip((alpha - 0.25) / 0.5, 0, 1)  # the filter blurs; what it is nearly sure of is sure
    alpha = np.where(inner >= 1, 1, np.where(outer <= 0, 0, alpha))[..., None]
    clean = alpha * colour + (1 - alpha) * _enlarged(learnt.foreground, tile, frame)
    clean = np.where(alpha > 0, clean, 1.0)
    return np.asarray(np.rint(np.dstack((clean, alpha)) * 255), np.uint8)


def _enlarged(small: NDArray[np.float32] | Mask, tile: tuple[slice, slice], frame: tuple[int, int]) -> Floats:
    """The part of `small` that lies under `tile` of the frame, at the frame's scale."""
    rows, columns = tile
    down, across = small.shape[0] / frame[0], small.shape[1] / frame[1]
    matrix = np.array(
        [
            [across, 0, (columns.start + 0.5) * across - 0.5],
            [0, down, (rows.start + 0.5) * down - 0.5],
        ]
    )
    size = (columns.stop - columns.start, rows.stop - rows.start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(small.astype(np.float32), matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
