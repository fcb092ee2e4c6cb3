"""Files that are not admitted, each with its reason. The worker process survives all of them."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from actors.errors import NotAnImage, TooLarge
from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.images import jpeg_claiming_size, png_chunk, png_claiming_size, quadrants
from tests.support.pictures import encode_image

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHOTO = quadrants(600, 400)
JPEG, PNG = encode_image(PHOTO, "JPEG"), encode_image(PHOTO.effect_spread(9), "PNG")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"><script>alert(1)</script></svg>'
ANIMATION = [quadrants(), quadrants(), Image.new("RGB", (120, 80))]

REFUSED = {
    "empty": (b"", "not_jpeg_or_png"),
    "random": (random.Random(1).randbytes(20_000), "not_jpeg_or_png"),
    "text": (b"just words", "not_jpeg_or_png"),
    "svg": (SVG, "not_jpeg_or_png"),
    "svg after a line": (b"\n" + SVG, "not_jpeg_or_png"),
    "html": (b"<html><script>alert(1)</script></html>", "not_jpeg_or_png"),
    "gif": (encode_image(PHOTO, "GIF"), "not_jpeg_or_png"),
    "gif before a jpeg": (b"GIF89a" + JPEG, "not_jpeg_or_png"),
    "webp": (encode_image(PHOTO, "WEBP"), "not_jpeg_or_png"),
    "bmp": (encode_image(PHOTO, "BMP"), "not_jpeg_or_png"),
    "tiff": (encode_image(PHOTO, "TIFF"), "not_jpeg_or_png"),
    "half a jpeg": (JPEG[: len(JPEG) // 2], "truncated"),
    "half a png": (PNG[: len(PNG) // 2], "truncated"),
    "signature alone": (PNG[:8], "corrupt"),
    "jpeg start alone": (JPEG[:4], "corrupt"),
    "png of other bytes": (PNG[:60] + bytes(len(PNG) - 60), "corrupt"),
    "png without pixels": (PNG[:8] + PNG[8:33] + png_chunk(b"IEND", b""), "corrupt"),
    "animated png": (encode_image(ANIMATION[0], "PNG", save_all=True, append_images=ANIMATION[1:]), "animated"),
    "tiny": (encode_image(quadrants(63, 400), "PNG"), "too_small"),
}

TOO_LARGE = {
    "png of 100,000 squared": (png_claiming_size(100_000, 100_000), "40 MP"),
    "png slightly too large": (png_claiming_size(8000, 5001), "40 MP"),
    "png of the largest size": (png_claiming_size(2**31 - 1, 2**31 - 1), "40 MP"),
    "jpeg of 65,000 squared": (jpeg_claiming_size(65_000, 65_000), "40 MP"),
    "jpeg slightly too large": (jpeg_claiming_size(6400, 6251), "40 MP"),
    "strip": (png_claiming_size(20_001, 70), "20,000 px"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_file_is_refused_with_its_problem(pictures: PictureProcesses, tmp_path: Path, name: str) -> None:
    data, problem = REFUSED[name]
    await _assert_refused(pictures, tmp_path, data, NotAnImage, {"problem": problem})


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_a_picture_is_refused_for_the_size_in_its_header(
    pictures: PictureProcesses, tmp_path: Path, name: str
) -> None:
    data, limit = TOO_LARGE[name]
    await _assert_refused(pictures, tmp_path, data, TooLarge, {"limit": limit})


async def test_a_compressed_text_of_300_mb_is_refused(pictures: PictureProcesses, tmp_path: Path) -> None:
    bomb = png_chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(300_000_000), 9))
    await _assert_refused(pictures, tmp_path, PNG[:33] + bomb + PNG[33:], NotAnImage, {"problem": "corrupt"})


async def test_broken_exif_does_not_rotate_the_picture(pictures: PictureProcesses, tmp_path: Path) -> None:
    exif = b"Exif\x00\x00MM\x00*" + struct.pack(">I", 8) + b"\xff\xff" + bytes(range(64))
    (tmp_path / "upload").write_bytes(encode_image(quadrants(), "JPEG", exif=exif))
    await pictures.admit(tmp_path / "upload", tmp_path / "admitted.png")
    with Image.open(tmp_path / "admitted.png") as image:
        assert image.size == (120, 80)


async def test_bad_files_do_not_end_the_process(pictures: PictureProcesses, tmp_path: Path) -> None:
    await test_a_bad_file_is_refused_with_its_problem(pictures, tmp_path, "random")
    (before,) = pictures.pids
    for name in ("half a png", "png of other bytes", "animated png"):
        await test_a_bad_file_is_refused_with_its_problem(pictures, tmp_path, name)
    assert pictures.pids == [before]


async def _assert_refused(
    pictures: PictureProcesses, folder: Path, data: bytes, fault: type[NotAnImage | TooLarge], facts: dict[str, str]
) -> None:
    source = folder / "photo.jpg"
    source.write_bytes(data)
    with pytest.raises(fault) as refusal:
        await pictures.admit(source, folder / "admitted.jpg")
    assert refusal.value.facts == facts
    assert [path.name for path in folder.iterdir()] == ["photo.jpg"]  # no file was written, not even a partial one
