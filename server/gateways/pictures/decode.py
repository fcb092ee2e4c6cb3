"""Reading a JPEG or PNG of hostile origin into plain upright sRGB pixels."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from actors.errors import NotAnImage, TooLarge
from server.gateways.pictures.reasons import Problem

Pixels = NDArray[np.uint8]
"""Height x width x 3 (RGB) or 4 (RGBA, not premultiplied), upright, sRGB."""

MAX_PIXELS = 40_000_000
MAX_SIDE = 20_000
"""Pixels. A strip thinner than this allows is no photo, and JPEG ends at 65,500."""
MIN_SIDE = 64
"""Pixels. Below it there is no garment to be seen."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_ORIENTATION = 0x0112  # the EXIF tag (CIPA DC-008, 4.6.4)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(path: Path) -> Pixels:
    """The pixels of the picture in `path`; of several pictures in a phone's JPEG (MPO) the first.

    Content decides the format, not the name. The size is checked from the header, before anything is decoded.
    Raises NotAnImage, TooLarge, and MemoryError under the worker's limit.
    """
    data = path.read_bytes()
    if not data.startswith(_SIGNATURES):
        raise NotAnImage(problem=Problem.NOT_JPEG_OR_PNG)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about what hostile files are made of
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
                _check_header(image)
                image.load()
                return _plain(image)
        except Image.DecompressionBombError:
            raise TooLarge(limit="40 MP") from None
        except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error) as fault:
            # Pillow's decoders raise any of these on bad data; an interrupted file is the one it names.
            problem = Problem.TRUNCATED if "truncated" in str(fault).lower() else Problem.CORRUPT
            raise NotAnImage(problem=problem) from fault


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise TooLarge(limit="40 MP")
    if max(width, height) > MAX_SIDE:
        raise TooLarge(limit="20,000 px")
    if min(width, height) < MIN_SIDE:
        raise NotAnImage(problem=Problem.TOO_SMALL)
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise NotAnImage(problem=Problem.ANIMATED)


def _plain(image: Image.Image) -> Pixels:
    turn = _UPRIGHT.get(_orientation(image))
    alpha = None
    colour = _eight_bit(image)
    if colour.has_transparency_data:
        colour = colour.convert("RGBA")
        alpha = np.asarray(_turned(colour.getchannel("A"), turn))
    pixels = np.asarray(_turned(_srgb(colour, image.info.get("icc_profile")), turn))
    if alpha is None or alpha.min() == 255:
        return pixels
    return np.dstack((pixels, alpha))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the EXIF block is anybody's bytes; one that cannot be read turns nothing
        return 1


def _turned(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Pillow reads 16-bit colour as 8-bit by itself, and 16-bit gray as integers that it would clip, not scale."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    return image


def _srgb(image: Image.Image, profile: object) -> Image.Image:
    """RGB in sRGB. A profile that is broken or not for this kind of picture is ignored, as viewers do."""
    flat = image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")
    if isinstance(profile, bytes) and profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(flat, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return flat.convert("RGB")
        return converted if converted is not None else flat
    return flat.convert("RGB")
