"""Pictures and malicious files for the tests."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.support.pictures import encode_image

Pixels = NDArray[np.uint8]

FLOOR = (170, 140, 110)
TEAL = (40, 130, 130)


def quadrants(width: int = 120, height: int = 80) -> Image.Image:
    """Return red and green above blue and white: every rotation and reflection of it is different."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    image.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    image.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    image.paste((0, 0, 255), (0, height // 2, width // 2, height))
    return image


def corner_colours(path: Path) -> list[str]:
    """Return the names of the colours at the upper left, upper right, lower left and lower right."""
    with Image.open(path) as image:
        width, height = image.size
        rgb = image.convert("RGB")
    corners = [(10, 10), (width - 10, 10), (10, height - 10), (width - 10, height - 10)]
    return [_colour_name(np.asarray(rgb)[y, x]) for x, y in corners]


def _colour_name(colour: Pixels) -> str:
    known = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    name, distance = min(
        ((name, np.abs(colour.astype(int) - value).max()) for name, value in known.items()), key=lambda pair: pair[1]
    )
    assert distance < 24, colour
    return name


def centre_colour(path: Path) -> tuple[int, ...]:
    with Image.open(path) as image:
        pixels = np.asarray(image)
    return tuple(int(value) for value in np.atleast_1d(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming_size(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size and which holds hardly any data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = zlib.compress(bytes(1000))
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", content) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def jpeg_claiming_size(width: int, height: int) -> bytes:
    """Return a JPEG whose frame header was changed to claim a size."""
    data = bytearray(encode_image(quadrants(), "JPEG"))
    frame = data.index(b"\xff\xc0")  # SOF0: marker, length (2), precision (1), height (2), width (2)
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def profile_with_red_and_blue_swapped() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"----", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"----", b"bXYZ", 1)


def empty_floor(width: int = 400, height: int = 500, colour: tuple[int, int, int] = FLOOR) -> Pixels:
    """Return a photo of an empty floor with a little noise."""
    noise = np.random.default_rng(3).normal(0, 3, (height, width, 1))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def draw_ellipses(
    background: Pixels, ellipses: list[tuple[int, int, int, int]], colour: tuple[int, int, int] = TEAL
) -> Pixels:
    """Return a copy of the background with ellipses: centre x, centre y, half width, half height."""
    picture = background.copy()
    for x, y, half_width, half_height in ellipses:
        cv2.ellipse(picture, (x, y), (half_width, half_height), 0, 0, 360, colour, -1, cv2.LINE_AA)
    return picture


def save_image(pixels: Pixels, path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def load_pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image)


def intersection_over_union(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(first & second) / np.count_nonzero(first | second))
