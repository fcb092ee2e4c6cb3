"""The colours of a photo's background, estimated from the border of the frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Mask = NDArray[np.uint8]
"""Height x width; 1 inside, 0 outside."""

_BORDER_WIDTH = 0.04
"""Width of the border, as a share of the shorter side."""
_CLUSTER_COUNT = 6
_MIN_CLUSTER_SHARE = 0.015
"""Colours of a smaller share of the border's pixels are a label or a stain, not the background."""
_ADDED_COVARIANCE = np.diag([12.0, 3.0, 3.0])
"""Variance (Lab units squared) added to every cluster, because the light varies across a floor."""
_MAX_CENTRE_RATIO = 2.0
"""A colour that is more than this many times denser in the centre than at the border belongs to a garment that the
frame cuts."""
_MAX_DISTANCE = 3.0
"""Mahalanobis distance, in standard deviations, up to which a pixel belongs to a cluster."""


def border_mask(height: int, width: int) -> Mask:
    """Return the mask of the pixels along the frame."""
    border = np.ones((height, width), np.uint8)
    thickness = max(3, round(_BORDER_WIDTH * min(height, width)))
    border[thickness:-thickness, thickness:-thickness] = 0
    return border


def non_background_pixels(lab: FloatArray, border: Mask) -> NDArray[np.bool_]:
    """Return which pixels have none of the background's colours.

    A background has several colours: boards and the gaps between them, a sheet and its shadow. When the frame cuts the
    garment, its colours are at the border too; they are recognized because they are denser in the centre.
    """
    distances = np.stack([_mahalanobis_distance(lab, cluster) for cluster in _colour_clusters(lab[border > 0])])
    nearest = np.where(distances.min(axis=0) < _MAX_DISTANCE, distances.argmin(axis=0), -1)
    height, width = border.shape
    centre = nearest[height // 5 : height - height // 5, width // 5 : width - width // 5]
    background = [
        cluster
        for cluster in range(len(distances))
        if np.mean(centre == cluster) <= _MAX_CENTRE_RATIO * np.mean(nearest[border > 0] == cluster)
    ]
    if not background:
        return np.ones(border.shape, np.bool_)
    return np.asarray(distances[background].min(axis=0) > _MAX_DISTANCE)


def _colour_clusters(samples: FloatArray) -> list[FloatArray]:
    """Group the samples by colour (k-means), without the rare colours."""
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    initial_labels = np.zeros((len(samples), 1), np.int32)
    _, labels, _ = cv2.kmeans(samples, _CLUSTER_COUNT, initial_labels, criteria, 2, cv2.KMEANS_PP_CENTERS)
    clusters = [samples[np.ravel(labels) == number] for number in range(_CLUSTER_COUNT)]
    return [cluster for cluster in clusters if len(cluster) >= _MIN_CLUSTER_SHARE * len(samples)]


def _mahalanobis_distance(lab: FloatArray, cluster: FloatArray) -> FloatArray:
    """Return the Mahalanobis distance of each pixel to the cluster, which is given by its samples."""
    inverse = np.linalg.inv(np.cov(cluster.T) + _ADDED_COVARIANCE).astype(np.float32)
    offset = lab - cluster.mean(axis=0)
    return np.asarray(np.sqrt(((offset @ inverse) * offset).sum(axis=2)), np.float32)
