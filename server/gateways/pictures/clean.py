"""The job behind every template: cut the garment out and write the requested files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actors.ports import PictureTemplate
from server.gateways.pictures.decode import Pixels, decode
from server.gateways.pictures.encode import flatten, write_picture
from server.gateways.pictures.enhance import enhance
from server.gateways.pictures.matting import cut_out
from server.gateways.pictures.protocol import OUTPUT_FILES
from server.gateways.pictures.segment import downscale, segment

_RENDERERS: dict[str, Callable[[Pixels], Pixels]] = {
    "matting.png": lambda cutout: cutout,
    "white-bg.png": flatten,
    "enhanced.png": enhance,
}


def clean(source: Path, folder: Path, template: PictureTemplate) -> None:
    """Write the files of `template` into `folder`. Raises PictureRefused, NotAnImage, TooLarge, OSError."""
    pixels = flatten(decode(source))
    cutout = cut_out(pixels, segment(downscale(pixels)))
    for name in OUTPUT_FILES[template]:
        write_picture(_RENDERERS[name](cutout), folder / name)
