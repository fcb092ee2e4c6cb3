"""From GrabCut's guess to one clean shape: lines, crumbs and neighbours go, small holes close."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from server.gateways.pictures.background import Mask

_LINE = 0.014
"""What is thinner than this share of the long side is a gap between boards, not a garment."""
_PARTNER = 0.3
"""A second piece is kept from this share of the first: two shoes are about equal."""
_HOLE = 0.008
"""Holes below this share of the garment are closed: a print, not the gap between sleeve and body."""


@dataclass(frozen=True, slots=True)
class Outline:
    mask: Mask
    pieces: int
    """How many separate things of like size the mask is made of."""


def tidy(guess: Mask) -> Outline:
    """The garment within `guess`; an empty mask when nothing solid is in it."""
    solid = _without_lines(guess)
    count, labels, facts, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    areas = facts[1:count, cv2.CC_STAT_AREA]
    kept = 1 + np.flatnonzero(areas >= _PARTNER * max(areas, default=0))
    mask = np.isin(labels, kept).astype(np.uint8)
    return Outline(_without_holes(mask), len(kept))


def disc(diameter: int) -> Mask:
    """A round kernel for morphology, of odd size."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter | 1, diameter | 1)), np.uint8)


def _without_lines(guess: Mask) -> Mask:
    """What survives opening, with the thin parts that hang on to it for a short way (straps, hangers, laces)."""
    thin = max(3, round(_LINE * max(guess.shape)))
    core = cv2.morphologyEx(guess, cv2.MORPH_OPEN, disc(thin))
    near = np.asarray(cv2.dilate(core, disc(2 * thin)), np.uint8) & guess
    joined = cv2.morphologyEx(near, cv2.MORPH_CLOSE, disc(thin // 2))
    return np.asarray(cv2.medianBlur(joined, 5), np.uint8)


def _without_holes(mask: Mask) -> Mask:
    limit = _HOLE * np.count_nonzero(mask)
    count, labels, facts, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    small = [label for label in range(1, count) if facts[label, cv2.CC_STAT_AREA] < limit]
    return (mask | np.isin(labels, small)).astype(np.uint8)
