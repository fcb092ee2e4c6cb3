"""Writing a picture file that holds pixels and no metadata, atomically."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np

from server.gateways.pictures.decode import Pixels

_JPEG_OPTIONS = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


def write_picture(pixels: Pixels, target: Path) -> None:
    """Write as JPEG (quality 95, 4:4:4, transparency on white) or PNG, by the suffix of `target`.

    The file appears under its name only when it is complete and on disk. A process that is killed meanwhile leaves a
    temporary file beside it, whose name starts with a dot. Raises OSError.
    """
    if target.suffix.lower() in (".jpg", ".jpeg"):
        encoded = _encode(".jpg", flatten(pixels), _JPEG_OPTIONS)
    else:
        encoded = _encode(".png", pixels, ())
    _write_atomically(encoded, target)


def flatten(pixels: Pixels) -> Pixels:
    """Return RGB pixels, with transparency composited on white."""
    if pixels.shape[2] == 3:
        return pixels
    flat = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), 256):  # in strips: intermediate values of 40 MP would not fit the memory limit
        strip = pixels[top : top + 256]
        alpha = strip[..., 3:].astype(np.uint16)
        flat[top : top + 256] = (strip[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return flat


def _encode(suffix: str, pixels: Pixels, options: tuple[int, ...]) -> bytes:
    conversion = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    succeeded, encoded = cv2.imencode(suffix, cv2.cvtColor(pixels, conversion), options)
    assert succeeded, f"OpenCV could not encode {pixels.shape} as {suffix}"
    return encoded.tobytes()


def _write_atomically(data: bytes, target: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)  # noqa: PTH105 - mkstemp returns a string
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
