"""An admitted upload becomes the same picture, upright and in sRGB, without any other data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin
from PIL.PngImagePlugin import PngInfo

from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.images import (
    centre_colour,
    corner_colours,
    load_pixels,
    profile_with_red_and_blue_swapped,
    quadrants,
)
from tests.support.pictures import encode_image

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPRIGHT = ["red", "green", "blue", "white"]
STORED_TRANSPOSE = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""By EXIF orientation: how a camera stores an upright picture, which is the inverse of what a viewer does."""


async def admit(pictures: PictureProcesses, folder: Path, data: bytes, suffix: str = ".png") -> Path:
    source, target = folder / "upload", folder / f"admitted{suffix}"
    source.write_bytes(data)
    await pictures.admit(source, target)
    assert sorted(path.name for path in folder.iterdir()) == [target.name, "upload"]  # no temporary file is left
    return target


@pytest.mark.parametrize("orientation", STORED_TRANSPOSE)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
async def test_a_picture_is_stored_upright(
    pictures: PictureProcesses, tmp_path: Path, orientation: int, kind: str
) -> None:
    transpose = STORED_TRANSPOSE[orientation]
    stored = quadrants() if transpose is None else quadrants().transpose(transpose)
    exif = Image.Exif()
    exif[0x0112] = orientation
    target = await admit(pictures, tmp_path, encode_image(stored, kind, exif=exif))
    assert corner_colours(target) == UPRIGHT


async def test_metadata_is_removed(pictures: PictureProcesses, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    data = encode_image(quadrants(), "JPEG", exif=exif, comment=b"SecretComment", xmp=b"<x>SecretXmp</x>")
    assert data.count(b"Secret") == 3
    for suffix in (".jpg", ".png"):
        target = await admit(pictures, tmp_path, data, suffix)
        assert b"Secret" not in target.read_bytes()
        with Image.open(target) as image:
            assert not image.getexif()
            assert not {"exif", "comment", "xmp", "icc_profile"} & set(image.info)
        target.unlink()


async def test_png_text_is_removed(pictures: PictureProcesses, tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text("Author", "Secret")
    target = await admit(pictures, tmp_path, encode_image(quadrants(), "PNG", pnginfo=text, dpi=(300, 300)))
    with Image.open(target) as image:
        assert image.info == {}
    assert b"Secret" not in target.read_bytes()


async def test_bytes_after_the_picture_are_removed(pictures: PictureProcesses, tmp_path: Path) -> None:
    target = await admit(pictures, tmp_path, encode_image(quadrants(), "JPEG") + b"PK\x03\x04evil.html<script>", ".jpg")
    assert b"PK\x03\x04" not in target.read_bytes()
    assert b"<script>" not in target.read_bytes()
    assert corner_colours(target) == UPRIGHT


async def test_the_content_decides_the_input_format_and_the_suffix_the_output_format(
    pictures: PictureProcesses, tmp_path: Path
) -> None:
    for suffix, kind in ((".jpg", "JPEG"), (".JPEG", "JPEG"), (".png", "PNG")):
        target = await admit(pictures, tmp_path, encode_image(quadrants(), "PNG"), suffix)
        with Image.open(target) as image:
            assert image.format == kind
            if kind == "JPEG":
                assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4
        target.unlink()


async def test_a_colour_profile_is_converted_to_srgb(pictures: PictureProcesses, tmp_path: Path) -> None:
    red = Image.new("RGB", (100, 100), (255, 0, 0))
    target = await admit(pictures, tmp_path, encode_image(red, "PNG", icc_profile=profile_with_red_and_blue_swapped()))
    assert centre_colour(target) == pytest.approx((0, 0, 255), abs=4)


async def test_a_broken_colour_profile_is_ignored(pictures: PictureProcesses, tmp_path: Path) -> None:
    data = encode_image(quadrants(), "PNG", icc_profile=b"no profile at all")
    assert corner_colours(await admit(pictures, tmp_path, data)) == UPRIGHT


async def test_cmyk_is_converted_to_rgb(pictures: PictureProcesses, tmp_path: Path) -> None:
    red = Image.new("CMYK", (100, 100), (0, 255, 255, 0))
    assert centre_colour(await admit(pictures, tmp_path, encode_image(red, "JPEG"))) == pytest.approx(
        (255, 0, 0), abs=6
    )


async def test_sixteen_bit_gray_is_scaled_not_clipped(pictures: PictureProcesses, tmp_path: Path) -> None:
    gray = Image.fromarray(np.full((100, 100), 0x4000, np.uint16))
    assert centre_colour(await admit(pictures, tmp_path, encode_image(gray, "PNG"))) == (64, 64, 64)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
async def test_white_stays_white_in_every_colour_mode(pictures: PictureProcesses, tmp_path: Path, mode: str) -> None:
    white = Image.new("RGB", (100, 100), (255, 255, 255)).convert(mode)
    assert centre_colour(await admit(pictures, tmp_path, encode_image(white, "PNG"))) == (255, 255, 255)


async def test_transparency_is_kept_in_png_and_becomes_white_in_jpeg(
    pictures: PictureProcesses, tmp_path: Path
) -> None:
    palette = Image.new("P", (100, 100), 1)
    palette.putpalette([0, 0, 0, 200, 30, 30])
    palette.paste(0, (0, 0, 100, 50))
    data = encode_image(palette, "PNG", transparency=0)
    pixels = load_pixels(await admit(pictures, tmp_path, data))
    assert pixels[10, 10, 3] == 0
    assert pixels[90, 90].tolist() == [200, 30, 30, 255]
    (tmp_path / "admitted.png").unlink()
    flat = load_pixels(await admit(pictures, tmp_path, data, ".jpg"))
    assert flat[10, 10].tolist() == [255, 255, 255]


async def test_of_an_mpo_from_a_phone_the_first_picture_is_stored(pictures: PictureProcesses, tmp_path: Path) -> None:
    second = Image.new("RGB", (120, 80), (0, 0, 0))
    data = encode_image(quadrants(), "MPO", save_all=True, append_images=[second])
    assert corner_colours(await admit(pictures, tmp_path, data, ".jpg")) == UPRIGHT
