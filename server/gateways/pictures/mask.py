"""Cleaning the mask from GrabCut: remove thin structures and small components, fill small holes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from server.gateways.pictures.background import Mask

_MIN_THICKNESS = 0.014
"""Structures thinner than this share of the long side are gaps between boards, not a garment."""
_MIN_COMPONENT_RATIO = 0.3
"""A component is kept from this share of the largest one's area. A pair of shoes makes two about equal components."""
_MAX_HOLE_SHARE = 0.008
"""Holes below this share of the garment's area are filled: they come from a print. The gap between a sleeve and the
body is larger."""


@dataclass(frozen=True, slots=True)
class GarmentMask:
    mask: Mask
    component_count: int


def postprocess_mask(foreground: Mask) -> GarmentMask:
    """Return the garment's part of `foreground`; the mask is empty when there is nothing solid in it."""
    solid = _remove_thin_structures(foreground)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    components = 1 + np.flatnonzero(areas >= _MIN_COMPONENT_RATIO * max(areas, default=0))
    mask = np.isin(labels, components).astype(np.uint8)
    return GarmentMask(_fill_small_holes(mask), len(components))


def disc_kernel(diameter: int) -> Mask:
    """Return a round structuring element for morphology; an even diameter becomes the next odd one."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter | 1, diameter | 1)), np.uint8)


def _remove_thin_structures(foreground: Mask) -> Mask:
    """Open the mask, but keep short thin parts that are attached to the rest: straps, hangers, laces."""
    thickness = max(3, round(_MIN_THICKNESS * max(foreground.shape)))
    core = cv2.morphologyEx(foreground, cv2.MORPH_OPEN, disc_kernel(thickness))
    attached = np.asarray(cv2.dilate(core, disc_kernel(2 * thickness)), np.uint8) & foreground
    closed = cv2.morphologyEx(attached, cv2.MORPH_CLOSE, disc_kernel(thickness // 2))
    return np.asarray(cv2.medianBlur(closed, 5), np.uint8)


def _fill_small_holes(mask: Mask) -> Mask:
    max_area = _MAX_HOLE_SHARE * np.count_nonzero(mask)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    holes = [label for label in range(1, count) if stats[label, cv2.CC_STAT_AREA] < max_area]
    return (mask | np.isin(labels, holes)).astype(np.uint8)
