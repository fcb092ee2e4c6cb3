"""Small pictures for tests, drawn here."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw


def shirt(size: int = 400) -> bytes:
    """A PNG of a red shirt on a grey floor."""
    image = Image.new("RGB", (size, size), (200, 200, 196))
    draw = ImageDraw.Draw(image)
    unit = size / 20
    outline = [(7, 4), (13, 4), (18, 7), (16, 10), (14, 9), (14, 17), (6, 17), (6, 9), (4, 10), (2, 7)]
    draw.polygon([(x * unit, y * unit) for x, y in outline], fill=(180, 30, 40))
    return encoded(image)


def blank(size: int = 400) -> bytes:
    """A PNG of nothing at all: a task with it fails."""
    return encoded(Image.new("RGB", (size, size), (230, 230, 230)))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
