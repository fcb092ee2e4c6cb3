"""What an admitted upload becomes: the same picture, upright, in sRGB, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin
from PIL.PngImagePlugin import PngInfo

from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.drawings import (
    centre,
    corners,
    encoded,
    loaded,
    profile_with_red_and_blue_swapped,
    quadrants,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPRIGHT = ["red", "green", "blue", "white"]
TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera that writes the orientation has stored the picture: the turn that undoes what a viewer does."""


async def admitted(pictures: PictureProcesses, folder: Path, data: bytes, suffix: str = ".png") -> Path:
    source, target = folder / "upload", folder / f"admitted{suffix}"
    source.write_bytes(data)
    await pictures.admit(source, target)
    assert sorted(path.name for path in folder.iterdir()) == [target.name, "upload"]  # no temporary file is left
    return target


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
async def test_orientation(pictures: PictureProcesses, tmp_path: Path, orientation: int, kind: str) -> None:
    turn = TURNED[orientation]
    stored = quadrants() if turn is None else quadrants().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    target = await admitted(pictures, tmp_path, encoded(stored, kind, exif=exif))
    assert corners(target) == UPRIGHT


async def test_metadata_is_gone(pictures: PictureProcesses, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    data = encoded(quadrants(), "JPEG", exif=exif, comment=b"SecretComment", xmp=b"<x>SecretXmp</x>")
    assert data.count(b"Secret") == 3
    for suffix in (".jpg", ".png"):
        target = await admitted(pictures, tmp_path, data, suffix)
        assert b"Secret" not in target.read_bytes()
        with Image.open(target) as image:
            assert not image.getexif()
            assert not {"exif", "comment", "xmp", "icc_profile"} & set(image.info)
        target.unlink()


async def test_png_text_is_gone(pictures: PictureProcesses, tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text("Author", "Secret")
    target = await admitted(pictures, tmp_path, encoded(quadrants(), "PNG", pnginfo=text, dpi=(300, 300)))
    with Image.open(target) as image:
        assert image.info == {}
    assert b"Secret" not in target.read_bytes()


async def test_what_is_appended_is_gone(pictures: PictureProcesses, tmp_path: Path) -> None:
    target = await admitted(pictures, tmp_path, encoded(quadrants(), "JPEG") + b"PK\x03\x04evil.html<script>", ".jpg")
    assert b"PK\x03\x04" not in target.read_bytes()
    assert b"<script>" not in target.read_bytes()
    assert corners(target) == UPRIGHT


async def test_content_decides_and_suffix_says_what_is_written(pictures: PictureProcesses, tmp_path: Path) -> None:
    for suffix, kind in ((".jpg", "JPEG"), (".JPEG", "JPEG"), (".png", "PNG")):
        target = await admitted(pictures, tmp_path, encoded(quadrants(), "PNG"), suffix)
        with Image.open(target) as image:
            assert image.format == kind
            if kind == "JPEG":
                assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4
        target.unlink()


async def test_a_profile_is_turned_into_srgb(pictures: PictureProcesses, tmp_path: Path) -> None:
    red = Image.new("RGB", (100, 100), (255, 0, 0))
    target = await admitted(pictures, tmp_path, encoded(red, "PNG", icc_profile=profile_with_red_and_blue_swapped()))
    assert centre(target) == pytest.approx((0, 0, 255), abs=4)


async def test_a_broken_profile_is_ignored(pictures: PictureProcesses, tmp_path: Path) -> None:
    data = encoded(quadrants(), "PNG", icc_profile=b"no profile at all")
    assert corners(await admitted(pictures, tmp_path, data)) == UPRIGHT


async def test_cmyk(pictures: PictureProcesses, tmp_path: Path) -> None:
    red = Image.new("CMYK", (100, 100), (0, 255, 255, 0))
    assert centre(await admitted(pictures, tmp_path, encoded(red, "JPEG"))) == pytest.approx((255, 0, 0), abs=6)


async def test_sixteen_bit_gray_is_scaled_not_clipped(pictures: PictureProcesses, tmp_path: Path) -> None:
    gray = Image.fromarray(np.full((100, 100), 0x4000, np.uint16))
    assert centre(await admitted(pictures, tmp_path, encoded(gray, "PNG"))) == (64, 64, 64)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
async def test_other_modes(pictures: PictureProcesses, tmp_path: Path, mode: str) -> None:
    white = Image.new("RGB", (100, 100), (255, 255, 255)).convert(mode)
    assert centre(await admitted(pictures, tmp_path, encoded(white, "PNG"))) == (255, 255, 255)


async def test_transparency_stays_in_png_and_is_white_in_jpeg(pictures: PictureProcesses, tmp_path: Path) -> None:
    palette = Image.new("P", (100, 100), 1)
    palette.putpalette([0, 0, 0, 200, 30, 30])
    palette.paste(0, (0, 0, 100, 50))
    data = encoded(palette, "PNG", transparency=0)
    pixels = loaded(await admitted(pictures, tmp_path, data))
    assert pixels[10, 10, 3] == 0
    assert pixels[90, 90].tolist() == [200, 30, 30, 255]
    (tmp_path / "admitted.png").unlink()
    flat = loaded(await admitted(pictures, tmp_path, data, ".jpg"))
    assert flat[10, 10].tolist() == [255, 255, 255]


async def test_a_phones_mpo_is_its_first_picture(pictures: PictureProcesses, tmp_path: Path) -> None:
    second = Image.new("RGB", (120, 80), (0, 0, 0))
    data = encoded(quadrants(), "MPO", save_all=True, append_images=[second])
    assert corners(await admitted(pictures, tmp_path, data, ".jpg")) == UPRIGHT
