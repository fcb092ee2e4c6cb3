"""Pictures and files to test with, honest and hostile."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Pixels = NDArray[np.uint8]

FLOOR = (170, 140, 110)
TEAL = (40, 130, 130)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quadrants(width: int = 120, height: int = 80) -> Image.Image:
    """Red, green over blue, white: every turn and flip of it differs."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    image.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    image.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    image.paste((0, 0, 255), (0, height // 2, width // 2, height))
    return image


def corners(path: Path) -> list[str]:
    """Which of red, green, blue and white is at the upper left, upper right, lower left and lower right."""
    with Image.open(path) as image:
        width, height = image.size
        rgb = image.convert("RGB")
    places = [(10, 10), (width - 10, 10), (10, height - 10), (width - 10, height - 10)]
    return [_name(np.asarray(rgb)[y, x]) for x, y in places]


def _name(colour: Pixels) -> str:
    known = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    name, distance = min(
        ((name, np.abs(colour.astype(int) - value).max()) for name, value in known.items()), key=lambda pair: pair[1]
    )
    assert distance < 24, colour
    return name


def centre(path: Path) -> tuple[int, ...]:
    with Image.open(path) as image:
        pixels = np.asarray(image)
    return tuple(int(value) for value in np.atleast_1d(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = zlib.compress(bytes(1000))
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", content) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose frame header was altered to claim a size."""
    data = bytearray(encoded(quadrants(), "JPEG"))
    frame = data.index(b"\xff\xc0")  # SOF0: marker, length (2), precision (1), height (2), width (2)
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def profile_with_red_and_blue_swapped() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"----", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"----", b"bXYZ", 1)


def scene(width: int = 400, height: int = 500, colour: tuple[int, int, int] = FLOOR) -> Pixels:
    """An empty floor with a little noise."""
    noise = np.random.default_rng(3).normal(0, 3, (height, width, 1))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def with_blobs(ground: Pixels, blobs: list[tuple[int, int, int, int]], colour: tuple[int, int, int] = TEAL) -> Pixels:
    """Ellipses (centre x and y, half axes) on the ground."""
    picture = ground.copy()
    for x, y, across, down in blobs:
        cv2.ellipse(picture, (x, y), (across, down), 0, 0, 360, colour, -1, cv2.LINE_AA)
    return picture


def saved(pixels: Pixels, path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def loaded(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image)


def agreement(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float(np.count_nonzero(one & other) / np.count_nonzero(one | other))
