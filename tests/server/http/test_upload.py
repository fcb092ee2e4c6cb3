"""Uploads: only complete JPEG and PNG pictures within the limits are accepted, and each is encoded anew."""

from __future__ import annotations

import asyncio
import gzip
import io
import random
import struct
import zlib
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from server.http.routes.files import UPLOADS_PER_USER
from tests.support.pictures import encode_image, shirt
from tests.support.raw_http import TIMEOUT_SECONDS, exchange, started_request, status, without_length
from tests.support.server import ApiResponse, ApiUser, LocalServer
from tests.support.uploads import task_body

MARK = b"<script>alert('darkroom')</script>"


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """Return a PNG with this size in its header and any pixel data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = [Image.new("RGB", (80, 80), colour) for colour in ("red", "green", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def jpeg() -> bytes:
    return encode_image(Image.open(io.BytesIO(shirt(200))), "JPEG")


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
NOT_ACCEPTED = {
    "nothing": b"",
    "text": b"hello",
    "svg": SVG,
    "html": b"<html>" + MARK,
    "gif": encode_image(Image.new("RGB", (80, 80)), "GIF"),
    "webp": encode_image(Image.new("RGB", (80, 80)), "WEBP"),
    "bmp": encode_image(Image.new("RGB", (80, 80)), "BMP"),
    "tiff": encode_image(Image.new("RGB", (80, 80)), "TIFF"),
    "random": random.Random(7).randbytes(50_000),
    "signature only": b"\x89PNG\r\n\x1a\n",
    "jpeg signature only": b"\xff\xd8\xff",
    "truncated png": shirt(200)[:-40],
    "half a png": shirt(200)[: len(shirt(200)) // 2],
    "half a jpeg": jpeg()[: len(jpeg()) // 2],
    "animated png": animated(),
    "png without pixels": png(200, 200, b""),
    "png of garbage": png(200, 200, random.Random(7).randbytes(5000)),
    "png of size zero": png(0, 0, zlib.compress(b"")),
    "gif then png": encode_image(Image.new("RGB", (80, 80)), "GIF") + shirt(200),
    "tiny": encode_image(Image.new("RGB", (5, 5))),
}
TOO_LARGE = {
    "claims 10,000 megapixels": png(100_000, 100_000, zlib.compress(b"")),
    "claims the largest PNG size": png(2**31 - 1, 2**31 - 1, zlib.compress(b"")),
    "decompresses to 120 MB": png(6400, 6400, zlib.compress(bytes((1 + 3 * 6400) * 6400), 9)),
    "too wide": png(30_000, 100, zlib.compress(b"")),
    "a byte over ten megabytes": shirt(200).ljust(10 * 2**20 + 1, b"\x00"),
}


async def upload_addresses(server: LocalServer, user: ApiUser, name: str = "a.png") -> tuple[str, str]:
    """Return the address to upload to and the address to create a task with."""
    place = (await server.get(f"/api/media/sts?fileName={name}", user=user)).data
    return place["uploadUrl"], place["inputImageUrl"]


def stored(server: LocalServer) -> list[Path]:
    """Return every file among the pictures, including those that are only partly received."""
    return [path for path in (server.data / "pictures").rglob("*") if path.is_file()]


async def refused(server: LocalServer, content: bytes, name: str, **headers: str) -> tuple[int, int]:
    """Return how an upload is refused, after checking that no file remains and no task can be created from it."""
    member = await server.new_member()
    target, url = await upload_addresses(server, member, name)
    refusal = (await server.put(target, raw=io.BytesIO(content), headers=headers)).refusal
    assert stored(server) == []
    assert (await server.post("/api/task/create", task_body(url), user=member)).refusal == (404, 4004)
    assert await server.remaining(member) == 100
    return refusal


async def test_a_file_that_is_not_a_complete_jpeg_or_png_is_refused(server: LocalServer) -> None:
    for label, content in NOT_ACCEPTED.items():
        for name in ("a.png", "a.jpg"):
            assert await refused(server, content, name) == (415, 4015), label


async def test_the_content_type_of_an_upload_does_not_matter(server: LocalServer) -> None:
    for claimed in ("image/png", "image/svg+xml", "application/octet-stream", "é"):
        assert await refused(server, SVG, "a.png", **{"Content-Type": claimed}) == (415, 4015)


@pytest.mark.parametrize("label", TOO_LARGE)
async def test_a_picture_with_too_many_bytes_or_pixels_is_refused(server: LocalServer, label: str) -> None:
    assert await refused(server, TOO_LARGE[label], "a.png") == (413, 4013)


async def test_a_picture_that_is_too_large_after_encoding_is_refused(server: LocalServer) -> None:
    """Noise is small as a JPEG of low quality and many times larger as the PNG that the name requires."""
    noise = random.Random(1).randbytes(3 * 4000 * 4000)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (4000, 4000), noise).save(buffer, "JPEG", quality=20)
    assert len(buffer.getvalue()) < 10 * 2**20
    assert await refused(server, buffer.getvalue(), "a.png") == (413, 4013)


async def test_a_compressed_upload_is_refused(server: LocalServer) -> None:
    for compressed in (gzip.compress(bytes(30 * 2**20)), gzip.compress(shirt(200))):
        assert await refused(server, compressed, "a.png", **{"Content-Encoding": "gzip"}) == (400, 4001)


async def send_upload(
    server: LocalServer, user: ApiUser, *headers: str, body: bytes, half_close: bool = False
) -> bytes:
    target, _ = await upload_addresses(server, user)
    request = without_length("PUT", target.removeprefix(server.base), *headers) + body
    return await exchange(server, request, half_close=half_close)


async def test_an_interrupted_upload_leaves_no_file(server: LocalServer) -> None:
    user, picture = await server.new_user(), shirt(200)
    longer = f"Content-Length: {len(picture) + 1}"
    assert await send_upload(server, user, longer, body=picture, half_close=True) == b""
    broken = b"%x\r\n%b\r\nzz\r\n" % (len(picture), picture)
    assert status(await send_upload(server, user, "Transfer-Encoding: chunked", body=broken)) == 400
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while stored(server):  # the server removes the file after the client has disconnected
            await server.get("/health")


async def test_a_content_length_over_the_limit_is_refused_before_the_upload_arrives(server: LocalServer) -> None:
    target, _ = await upload_addresses(server, await server.new_user())
    request = without_length("PUT", target.removeprefix(server.base), "Content-Length: 10485761")
    assert status(await exchange(server, request, until=b"4013")) == 413
    assert stored(server) == []


async def uploaded(server: LocalServer, content: bytes, name: str = "a.png") -> ApiResponse:
    target, url = await upload_addresses(server, await server.new_user(), name)
    assert (await server.put(target, raw=content)).status == 200
    return await server.get(url)


async def test_a_chunked_upload_is_accepted(server: LocalServer) -> None:
    user, picture = await server.new_user(), shirt(200)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(picture), picture)
    assert status(await send_upload(server, user, "Transfer-Encoding: chunked", body=body)) == 200
    assert len(stored(server)) == 1


async def test_a_chunked_upload_over_the_limit_is_refused(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no Content-Length, so its bytes are counted while they arrive. The limit is lowered for the test."""
    user, picture = await server.new_user(), shirt(200)
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (picture[:500], picture[500:])]
    body = b"".join(chunks) + b"0\r\n\r\n"
    monkeypatch.setattr("server.http.routes.files.MAX_BYTES", len(picture) - 1)
    response = await send_upload(server, user, "Transfer-Encoding: chunked", body=body)
    assert status(response) == 413 and b'"code":4013' in response
    assert stored(server) == []
    monkeypatch.setattr("server.http.routes.files.MAX_BYTES", len(picture))
    assert status(await send_upload(server, user, "Transfer-Encoding: chunked", body=body)) == 200


async def test_an_upload_is_stored_as_a_new_encoding_without_foreign_bytes(server: LocalServer) -> None:
    information = PngImagePlugin.PngInfo()
    information.add_text("Comment", MARK.decode())
    buffer = io.BytesIO()
    Image.open(io.BytesIO(shirt(200))).save(buffer, "PNG", pnginfo=information)
    exif = Image.Exif()
    exif[0x010E] = MARK.decode()
    described = io.BytesIO()
    Image.open(io.BytesIO(shirt(200))).save(described, "JPEG", exif=exif, comment=MARK)
    polyglots = (buffer.getvalue() + b"PK\x03\x04" + MARK, described.getvalue() + MARK)
    for content in polyglots:
        assert MARK in content
        for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG")):
            response = await uploaded(server, content, name)
            assert MARK not in response.raw
            image = Image.open(io.BytesIO(response.raw))
            assert (image.format, image.size) == (kind, (200, 200))
            assert not image.info.get("Comment") and not image.getexif()


async def test_a_second_upload_replaces_the_first_only_if_it_is_valid(server: LocalServer) -> None:
    target, url = await upload_addresses(server, await server.new_user())
    assert (await server.put(target, raw=shirt(200))).status == 200
    first = (await server.get(url)).raw
    assert (await server.put(target, raw=b"no picture")).refusal == (415, 4015)
    assert (await server.get(url)).raw == first
    assert (await server.put(target, raw=shirt(300))).status == 200
    assert Image.open(io.BytesIO((await server.get(url)).raw)).size == (300, 300)


async def test_one_user_cannot_fill_the_upload_queue(server: LocalServer) -> None:
    """With four unfinished uploads in flight, the user's fifth is refused, but not the upload of another user."""
    greedy, other = await server.new_user(), await server.new_user()
    async with AsyncExitStack() as uploads:
        for _ in range(UPLOADS_PER_USER):
            target, _ = await upload_addresses(server, greedy)
            request = without_length(
                "PUT", target.removeprefix(server.base), "Content-Length: 1000", "Expect: 100-continue"
            )
            await uploads.enter_async_context(started_request(server, request))
        target, _ = await upload_addresses(server, greedy)
        assert (await server.put(target, raw=shirt(200))).refusal == (503, 9003)
        await server.upload(other, shirt(200))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await server.put(target, raw=shirt(200))).status == 503:
            pass
