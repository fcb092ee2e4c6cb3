"""Decoding an untrusted JPEG or PNG into upright sRGB pixels."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from actors.errors import NotAnImage, TooLarge
from server.gateways.pictures.reasons import UploadProblem

Pixels = NDArray[np.uint8]
"""Height x width x 3 (RGB) or 4 (RGBA, not premultiplied), upright, sRGB."""

MAX_PIXELS = 40_000_000
MAX_SIDE = 20_000
"""Pixels. A photo is never longer; JPEG itself allows 65,500."""
MIN_SIDE = 64
"""Pixels. In a smaller picture no garment can be recognized."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_ORIENTATION = 0x0112  # the EXIF tag (CIPA DC-008, 4.6.4)
_TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(path: Path) -> Pixels:
    """Return the pixels of the picture in `path`. If it holds several (MPO, from some phones), take the first.

    The content decides the format, not the file name. The size is read from the header and checked before decoding.
    Raises NotAnImage, TooLarge, and MemoryError when the worker's limit is reached.
    """
    data = path.read_bytes()
    if not data.startswith(_SIGNATURES):
        raise NotAnImage(problem=UploadProblem.NOT_JPEG_OR_PNG)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about many kinds of bad files
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
                _check_header(image)
                image.load()
                return _to_pixels(image)
        except Image.DecompressionBombError:
            raise TooLarge(limit="40 MP") from None
        except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error) as fault:
            # Pillow's decoders raise any of these for bad data; only for an incomplete file does the message say so.
            problem = UploadProblem.TRUNCATED if "truncated" in str(fault).lower() else UploadProblem.CORRUPT
            raise NotAnImage(problem=problem) from fault


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise TooLarge(limit="40 MP")
    if max(width, height) > MAX_SIDE:
        raise TooLarge(limit="20,000 px")
    if min(width, height) < MIN_SIDE:
        raise NotAnImage(problem=UploadProblem.TOO_SMALL)
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise NotAnImage(problem=UploadProblem.ANIMATED)


def _to_pixels(image: Image.Image) -> Pixels:
    transpose = _TRANSPOSE_BY_ORIENTATION.get(_orientation(image))
    alpha = None
    colour = _to_eight_bit(image)
    if colour.has_transparency_data:
        colour = colour.convert("RGBA")
        alpha = np.asarray(_transpose(colour.getchannel("A"), transpose))
    pixels = np.asarray(_transpose(_to_srgb(colour, image.info.get("icc_profile")), transpose))
    if alpha is None or alpha.min() == 255:
        return pixels
    return np.dstack((pixels, alpha))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the EXIF block is untrusted; if it cannot be read, the picture is not rotated
        return 1


def _transpose(image: Image.Image, transpose: Image.Transpose | None) -> Image.Image:
    return image if transpose is None else image.transpose(transpose)


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray to 8 bits, because Pillow would clip it. Pillow scales 16-bit colour itself."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    return image


def _to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Convert to RGB in sRGB. A broken or unsuitable colour profile is ignored, as image viewers do."""
    supported = image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")
    if isinstance(profile, bytes) and profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(supported, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return supported.convert("RGB")
        return converted if converted is not None else supported
    return supported.convert("RGB")
