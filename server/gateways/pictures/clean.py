"""The job behind every template: cut the garment out and write what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actors.ports import PictureTemplate
from server.gateways.pictures.decode import Pixels, decode
from server.gateways.pictures.encode import flatten, write_picture
from server.gateways.pictures.enhance import enhance
from server.gateways.pictures.matting import cut_out
from server.gateways.pictures.protocol import OUTPUTS
from server.gateways.pictures.segment import segment, small_copy

_MAKERS: dict[str, Callable[[Pixels], Pixels]] = {
    "matting.png": lambda garment: garment,
    "white-bg.png": flatten,
    "enhanced.png": enhance,
}


def clean(source: Path, folder: Path, template: PictureTemplate) -> None:
    """Write the files of `template` into `folder`. Raises PictureRefused, NotAnImage, TooLarge, OSError."""
    pixels = flatten(decode(source))
    garment = cut_out(pixels, segment(small_copy(pixels)))
    for name in OUTPUTS[template]:
        write_picture(_MAKERS[name](garment), folder / name)
