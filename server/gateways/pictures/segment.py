"""Telling the garment from its background, on a small copy of the photo."""

from __future__ import annotations

import cv2
import numpy as np

from actors.ports import PictureRefused
from server.gateways.pictures.background import Floats, Mask, border_ring, unlike_background
from server.gateways.pictures.decode import Pixels
from server.gateways.pictures.mask import disc, tidy
from server.gateways.pictures.reasons import Refusal

WORK_SIDE = 500
"""Pixels. GrabCut takes 12 s and 900 MB at 2000 x 2000, and under a second here."""

_TOO_THIN = 32  # pixels of the small copy
_LEAST = 0.01  # of the frame
_MOST_ON_FRAME = 0.4  # of the border
_MOST_PIECES = 4
_PRINT = 11
"""Pixels. Spots of a print so near to each other are one garment, though its ground is the background's colour."""
_SPECK = 5  # pixels
_ROUNDS = 5
_NEAR = 4  # pixels to each side of the outline
_SEEN = 4.0  # a difference in Lab that an eye just sees between two textures
_MOST_UNSEEN = 0.1


def small_copy(pixels: Pixels) -> Pixels:
    """`pixels`, no side longer than WORK_SIDE."""
    height, width = pixels.shape[:2]
    scale = WORK_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def segment(small: Pixels) -> Mask:
    """The garment in `small` (RGB, from small_copy). Raises PictureRefused."""
    if min(small.shape[:2]) < _TOO_THIN:
        raise PictureRefused(Refusal.NO_GARMENT)
    lab = _smooth_lab(small)
    ring = border_ring(*small.shape[:2])
    outline = tidy(_grab_cut(lab, _first_marks(lab, ring)))
    if np.mean(outline.mask) < _LEAST:  # something stood out, and no shape of it held together
        raise PictureRefused(Refusal.UNCLEAR_EDGE)
    if np.mean(outline.mask[ring > 0]) > _MOST_ON_FRAME:
        raise PictureRefused(Refusal.FILLS_FRAME)
    if outline.pieces > _MOST_PIECES:
        raise PictureRefused(Refusal.SCATTERED)
    if _unseen_share(lab, outline.mask) > _MOST_UNSEEN:
        raise PictureRefused(Refusal.UNCLEAR_EDGE)
    return outline.mask


def _smooth_lab(small: Pixels) -> Floats:
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.GaussianBlur(lab, (0, 0), 1.0), np.float32)  # weave and noise are no edges


def _first_marks(lab: Floats, ring: Mask) -> Mask:
    """GrabCut's starting point: what stands out is probably the garment, the like border surely is not."""
    unlike = unlike_background(lab, ring)
    solid = cv2.morphologyEx(unlike.astype(np.uint8), cv2.MORPH_CLOSE, disc(_PRINT))
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, disc(_SPECK))
    if np.mean(solid) < _LEAST:
        raise PictureRefused(Refusal.NO_GARMENT)
    if np.all(unlike[ring > 0]):
        raise PictureRefused(Refusal.FILLS_FRAME)
    marks = np.where(solid > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[(ring > 0) & ~unlike] = cv2.GC_BGD
    return marks


def _grab_cut(lab: Floats, marks: Mask) -> Mask:
    """Rother, Kolmogorov, Blake, "GrabCut", 2004; in Lab, where distances are nearer to what eyes see."""
    picture = np.clip(lab + np.array((0, 128, 128), np.float32), 0, 255).astype(np.uint8)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, marks, (0, 0, 0, 0), background, foreground, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def _unseen_share(lab: Floats, mask: Mask) -> float:
    """The share of the outline on whose two sides the photo looks the same: there it is a guess."""
    size = (2 * _NEAR + 1, 2 * _NEAR + 1)

    def mean(of: Mask) -> Floats:
        weight = of.astype(np.float32)
        total = cv2.boxFilter(lab * weight[..., None], -1, size, borderType=cv2.BORDER_REPLICATE)
        amount = cv2.boxFilter(weight, -1, size, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(total / np.maximum(amount, 1e-3)[..., None], np.float32)

    difference = np.linalg.norm(mean(mask) - mean(1 - mask), axis=2)
    outline = (cv2.dilate(mask, disc(3)) > mask)[_NEAR:-_NEAR, _NEAR:-_NEAR]
    return float(np.mean(difference[_NEAR:-_NEAR, _NEAR:-_NEAR][outline] < _SEEN)) if outline.any() else 0.0
