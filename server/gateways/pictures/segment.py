"""Segmentation: separating the garment from its background, on a small copy of the photo."""

from __future__ import annotations

import cv2
import numpy as np

from actors.ports import PictureRefused
from server.gateways.pictures.background import FloatArray, Mask, border_mask, non_background_pixels
from server.gateways.pictures.decode import Pixels
from server.gateways.pictures.mask import disc_kernel, postprocess_mask
from server.gateways.pictures.reasons import RefusalReason

WORK_SIDE = 500
"""Pixels. The time and memory that GrabCut needs grow with the number of pixels."""

_MIN_COPY_SIDE = 32  # pixels of the small copy
_MIN_GARMENT_SHARE = 0.01  # of the frame
_MAX_BORDER_SHARE = 0.4  # of the border
_MAX_COMPONENTS = 4
_CLOSING_DIAMETER = 11
"""Pixels. Spots of a print that are nearer to each other are one garment, also where the cloth between them has the
background's colour."""
_OPENING_DIAMETER = 5  # pixels; removes specks
_GRABCUT_ITERATIONS = 5
_CONTRAST_RADIUS = 4  # pixels on each side of the outline
_MIN_CONTRAST = 4.0  # Lab distance of two textures that a person can just distinguish
_MAX_LOW_CONTRAST_SHARE = 0.1  # of the outline


def downscale(pixels: Pixels) -> Pixels:
    """Return a copy of `pixels` with no side longer than WORK_SIDE; a smaller picture is returned as it is."""
    height, width = pixels.shape[:2]
    scale = WORK_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def segment(small: Pixels) -> Mask:
    """Return the mask of the garment in `small` (RGB, from `downscale`). Raises PictureRefused."""
    if min(small.shape[:2]) < _MIN_COPY_SIDE:
        raise PictureRefused(RefusalReason.NO_GARMENT)
    lab = _blurred_lab(small)
    border = border_mask(*small.shape[:2])
    garment = postprocess_mask(_grab_cut(lab, _seed_mask(lab, border)))
    if np.mean(garment.mask) < _MIN_GARMENT_SHARE:  # some pixels differ from the background but form no solid shape
        raise PictureRefused(RefusalReason.UNCLEAR_EDGE)
    if np.mean(garment.mask[border > 0]) > _MAX_BORDER_SHARE:
        raise PictureRefused(RefusalReason.FILLS_FRAME)
    if garment.component_count > _MAX_COMPONENTS:
        raise PictureRefused(RefusalReason.SCATTERED)
    if _low_contrast_share(lab, garment.mask) > _MAX_LOW_CONTRAST_SHARE:
        raise PictureRefused(RefusalReason.UNCLEAR_EDGE)
    return garment.mask


def _blurred_lab(small: Pixels) -> FloatArray:
    """Convert to Lab and blur slightly, so that weave and noise are not taken for contours."""
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.GaussianBlur(lab, (0, 0), 1.0), np.float32)


def _seed_mask(lab: FloatArray, border: Mask) -> Mask:
    """Return GrabCut's initial labels: probable foreground, probable background, and sure background at the border.

    Raises PictureRefused.
    """
    candidates = non_background_pixels(lab, border)
    solid = cv2.morphologyEx(candidates.astype(np.uint8), cv2.MORPH_CLOSE, disc_kernel(_CLOSING_DIAMETER))
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, disc_kernel(_OPENING_DIAMETER))
    if np.mean(solid) < _MIN_GARMENT_SHARE:
        raise PictureRefused(RefusalReason.NO_GARMENT)
    if np.all(candidates[border > 0]):
        raise PictureRefused(RefusalReason.FILLS_FRAME)
    seeds = np.where(solid > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    seeds[(border > 0) & ~candidates] = cv2.GC_BGD
    return seeds


def _grab_cut(lab: FloatArray, seeds: Mask) -> Mask:
    """Run GrabCut (Rother, Kolmogorov, Blake, "GrabCut", 2004) in Lab, where distances match human perception better.

    The labels in `seeds` are updated in place.
    """
    picture = np.clip(lab + np.array((0, 128, 128), np.float32), 0, 255).astype(np.uint8)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, seeds, (0, 0, 0, 0), background, foreground, _GRABCUT_ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def _low_contrast_share(lab: FloatArray, mask: Mask) -> float:
    """Return the share of the outline whose two sides look alike, where the outline is therefore a guess."""
    size = (2 * _CONTRAST_RADIUS + 1, 2 * _CONTRAST_RADIUS + 1)

    def local_mean(region: Mask) -> FloatArray:
        weight = region.astype(np.float32)
        total = cv2.boxFilter(lab * weight[..., None], -1, size, borderType=cv2.BORDER_REPLICATE)
        amount = cv2.boxFilter(weight, -1, size, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(total / np.maximum(amount, 1e-3)[..., None], np.float32)

    contrast = np.linalg.norm(local_mean(mask) - local_mean(1 - mask), axis=2)
    inner = slice(_CONTRAST_RADIUS, -_CONTRAST_RADIUS)
    outline = (cv2.dilate(mask, disc_kernel(3)) > mask)[inner, inner]
    return float(np.mean(contrast[inner, inner][outline] < _MIN_CONTRAST)) if outline.any() else 0.0
