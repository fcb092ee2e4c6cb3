"""Writing pixels to a file: nothing but pixels, all of it or none."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np

from server.gateways.pictures.decode import Pixels

_JPEG = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


def write_picture(pixels: Pixels, target: Path) -> None:
    """Write as JPEG (quality 95, 4:4:4, transparency on white) or PNG, by the suffix of `target`.

    The file appears under its name complete and on disk, or not at all; a process killed meanwhile leaves a temporary
    file beside it whose name starts with a dot. Raises OSError.
    """
    if target.suffix.lower() in (".jpg", ".jpeg"):
        encoded = _encode(".jpg", flatten(pixels), _JPEG)
    else:
        encoded = _encode(".png", pixels, ())
    _write_durably(encoded, target)


def flatten(pixels: Pixels) -> Pixels:
    """RGB, what is transparent on white."""
    if pixels.shape[2] == 3:
        return pixels
    flat = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), 256):  # in strips: 40 MP of floats would not fit the memory limit
        strip = pixels[top : top + 256]
        alpha = strip[..., 3:].astype(np.uint16)
        flat[top : top + 256] = (strip[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return flat


def _encode(kind: str, pixels: Pixels, options: tuple[int, ...]) -> bytes:
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, encoded = cv2.imencode(kind, cv2.cvtColor(pixels, order), options)
    assert done, f"OpenCV could not encode {pixels.shape} as {kind}"
    return encoded.tobytes()


def _write_durably(data: bytes, target: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)  # noqa: PTH105 - Path.replace is this call, less plainly
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """A rename is durable once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
