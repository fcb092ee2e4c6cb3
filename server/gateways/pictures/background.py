"""What the background of a photo looks like, learnt from the frame's border."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]
"""Height x width; 1 where it holds, else 0."""

_BORDER = 0.04
_TONES = 6
_RARE = 0.015
"""A tone of fewer of the border's pixels is a label or a stain."""
_LEEWAY = np.diag([12.0, 3.0, 3.0])
"""Variance (Lab units squared) added to every tone: light falls off across a floor."""
_MORE_INSIDE = 2.0
"""A tone so many times denser in the middle than at the border is the garment's, cut by the frame."""
_SPREAD = 3.0
"""A tone reaches as many of its standard deviations."""


def border_ring(height: int, width: int) -> Mask:
    """The pixels along the frame, a twenty-fifth of the shorter side wide."""
    ring = np.ones((height, width), np.uint8)
    edge = max(3, round(_BORDER * min(height, width)))
    ring[edge:-edge, edge:-edge] = 0
    return ring


def unlike_background(lab: Floats, ring: Mask) -> NDArray[np.bool_]:
    """Which pixels have none of the background's tones.

    Several tones, since a background is planks and gaps, a sheet and its shadow. A garment that the frame cuts brings
    its own tones to the border; they give themselves away by being denser inside.
    """
    distances = np.stack([_distance(lab, members) for members in _tones(lab[ring > 0])])
    nearest = np.where(distances.min(axis=0) < _SPREAD, distances.argmin(axis=0), -1)
    height, width = ring.shape
    middle = nearest[height // 5 : height - height // 5, width // 5 : width - width // 5]
    kept = [
        tone
        for tone in range(len(distances))
        if np.mean(middle == tone) <= _MORE_INSIDE * np.mean(nearest[ring > 0] == tone)
    ]
    if not kept:
        return np.ones(ring.shape, np.bool_)
    return np.asarray(distances[kept].min(axis=0) > _SPREAD)


def _tones(samples: Floats) -> list[Floats]:
    """The samples in groups of like colour, rare ones left out."""
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    start = np.zeros((len(samples), 1), np.int32)
    _, labels, _ = cv2.kmeans(samples, _TONES, start, criteria, 2, cv2.KMEANS_PP_CENTERS)
    groups = [samples[np.ravel(labels) == tone] for tone in range(_TONES)]
    return [group for group in groups if len(group) >= _RARE * len(samples)]


def _distance(lab: Floats, members: Floats) -> Floats:
    """Mahalanobis distance of each pixel to the tone that `members` are samples of."""
    inverse = np.linalg.inv(np.cov(members.T) + _LEEWAY).astype(np.float32)
    offset = lab - members.mean(axis=0)
    return np.asarray(np.sqrt(((offset @ inverse) * offset).sum(axis=2)), np.float32)
