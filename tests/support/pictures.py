"""Small pictures for tests, drawn in memory."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw


def shirt(size: int = 400) -> bytes:
    """Return a PNG of a red shirt on a grey floor."""
    image = Image.new("RGB", (size, size), (200, 200, 196))
    draw = ImageDraw.Draw(image)
    unit = size / 20
    outline = [(7, 4), (13, 4), (18, 7), (16, 10), (14, 9), (14, 17), (6, 17), (6, 9), (4, 10), (2, 7)]
    draw.polygon([(x * unit, y * unit) for x, y in outline], fill=(180, 30, 40))
    return encode_image(image)


def blank(size: int = 400) -> bytes:
    """Return a PNG of a plain background: a task with it fails."""
    return encode_image(Image.new("RGB", (size, size), (230, 230, 230)))


def encode_image(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return `image` as a file of the format `kind`; `options` are Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
