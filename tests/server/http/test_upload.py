"""What may be put at a signed address: a whole JPEG or PNG of a sane size, which is encoded afresh."""

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
from tests.support.account_state import task_body
from tests.support.pictures import encoded, shirt
from tests.support.raw_http import TIMEOUT_SECONDS, bare, exchange, started_request, status
from tests.support.server import ApiResponse, LocalServer, User

MARK = b"<script>alert('darkroom')</script>"


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG that claims a size, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = [Image.new("RGB", (80, 80), colour) for colour in ("red", "green", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def jpeg() -> bytes:
    return encoded(Image.open(io.BytesIO(shirt(200))), "JPEG")


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
NO_IMAGES = {
    "nothing": b"",
    "text": b"hello",
    "svg": SVG,
    "html": b"<html>" + MARK,
    "gif": encoded(Image.new("RGB", (80, 80)), "GIF"),
    "webp": encoded(Image.new("RGB", (80, 80)), "WEBP"),
    "bmp": encoded(Image.new("RGB", (80, 80)), "BMP"),
    "tiff": encoded(Image.new("RGB", (80, 80)), "TIFF"),
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
    "gif then png": encoded(Image.new("RGB", (80, 80)), "GIF") + shirt(200),
    "tiny": encoded(Image.new("RGB", (5, 5))),
}
TOO_LARGE = {
    "claims 10,000 megapixels": png(100_000, 100_000, zlib.compress(b"")),
    "claims the most a PNG can": png(2**31 - 1, 2**31 - 1, zlib.compress(b"")),
    "really unpacks to 120 MB": png(6400, 6400, zlib.compress(bytes((1 + 3 * 6400) * 6400), 9)),
    "too long a strip": png(30_000, 100, zlib.compress(b"")),
    "a byte over ten megabytes": shirt(200).ljust(10 * 2**20 + 1, b"\x00"),
}


async def place_for(server: LocalServer, user: User, name: str = "a.png") -> tuple[str, str]:
    """(where to put it, how to name it)."""
    place = (await server.get(f"/api/media/sts?fileName={name}", user=user)).data
    return place["uploadUrl"], place["inputImageUrl"]


def stored(server: LocalServer) -> list[Path]:
    """Every file among the pictures, half received ones included."""
    return [path for path in (server.data / "pictures").rglob("*") if path.is_file()]


async def refused(server: LocalServer, content: bytes, name: str, **headers: str) -> tuple[int, int]:
    """How an upload is refused; nothing of it stays, and no task can be made of it."""
    member = await server.new_member()
    target, url = await place_for(server, member, name)
    refusal = (await server.put(target, raw=io.BytesIO(content), headers=headers)).refusal
    assert stored(server) == []
    assert (await server.post("/api/task/create", task_body(url), user=member)).refusal == (404, 4004)
    assert await server.remaining(member) == 100
    return refusal


async def test_what_is_no_jpeg_or_png_is_refused(server: LocalServer) -> None:
    for label, content in NO_IMAGES.items():
        for name in ("a.png", "a.jpg"):
            assert await refused(server, content, name) == (415, 4015), label


async def test_a_claimed_type_changes_nothing(server: LocalServer) -> None:
    for claimed in ("image/png", "image/svg+xml", "application/octet-stream", "é"):
        assert await refused(server, SVG, "a.png", **{"Content-Type": claimed}) == (415, 4015)


@pytest.mark.parametrize("label", TOO_LARGE)
async def test_what_is_too_large_is_refused(server: LocalServer, label: str) -> None:
    assert await refused(server, TOO_LARGE[label], "a.png") == (413, 4013)


async def test_what_would_be_too_large_to_keep_is_refused(server: LocalServer) -> None:
    """Noise is small as a poor JPEG, and many times that as the PNG that its name asks for."""
    noise = random.Random(1).randbytes(3 * 4000 * 4000)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (4000, 4000), noise).save(buffer, "JPEG", quality=20)
    assert len(buffer.getvalue()) < 10 * 2**20
    assert await refused(server, buffer.getvalue(), "a.png") == (413, 4013)


async def test_a_packed_upload_is_not_unpacked(server: LocalServer) -> None:
    for packed in (gzip.compress(bytes(30 * 2**20)), gzip.compress(shirt(200))):
        assert await refused(server, packed, "a.png", **{"Content-Encoding": "gzip"}) == (400, 4001)


async def sent(server: LocalServer, user: User, *headers: str, body: bytes, half_close: bool = False) -> bytes:
    target, _ = await place_for(server, user)
    request = bare("PUT", target.removeprefix(server.base), *headers) + body
    return await exchange(server, request, half_close=half_close)


async def test_a_broken_upload_leaves_nothing(server: LocalServer) -> None:
    person, picture = await server.new_user(), shirt(200)
    longer = f"Content-Length: {len(picture) + 1}"
    assert await sent(server, person, longer, body=picture, half_close=True) == b""
    broken = b"%x\r\n%b\r\nzz\r\n" % (len(picture), picture)
    assert status(await sent(server, person, "Transfer-Encoding: chunked", body=broken)) == 400
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while stored(server):  # a caller that has gone does not see the end of it
            await server.get("/health")


async def test_a_length_that_is_too_large_is_refused_before_a_byte_of_it_came(server: LocalServer) -> None:
    target, _ = await place_for(server, await server.new_user())
    request = bare("PUT", target.removeprefix(server.base), "Content-Length: 10485761")
    assert status(await exchange(server, request, until=b"4013")) == 413
    assert stored(server) == []


async def uploaded(server: LocalServer, content: bytes, name: str = "a.png") -> ApiResponse:
    target, url = await place_for(server, await server.new_user(), name)
    assert (await server.put(target, raw=content)).status == 200
    return await server.get(url)


async def test_a_chunked_upload_is_an_upload(server: LocalServer) -> None:
    person, picture = await server.new_user(), shirt(200)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(picture), picture)
    assert status(await sent(server, person, "Transfer-Encoding: chunked", body=body)) == 200
    assert len(stored(server)) == 1


async def test_what_is_stored_is_a_fresh_encoding(server: LocalServer) -> None:
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
            answer = await uploaded(server, content, name)
            assert MARK not in answer.raw
            image = Image.open(io.BytesIO(answer.raw))
            assert (image.format, image.size) == (kind, (200, 200))
            assert not image.info.get("Comment") and not image.getexif()


async def test_a_second_upload_replaces_the_first_only_when_it_is_good(server: LocalServer) -> None:
    target, url = await place_for(server, await server.new_user())
    assert (await server.put(target, raw=shirt(200))).status == 200
    first = (await server.get(url)).raw
    assert (await server.put(target, raw=b"no picture")).refusal == (415, 4015)
    assert (await server.get(url)).raw == first
    assert (await server.put(target, raw=shirt(300))).status == 200
    assert Image.open(io.BytesIO((await server.get(url)).raw)).size == (300, 300)


async def test_nobody_can_fill_the_queue_of_uploads_alone(server: LocalServer) -> None:
    """Four uploads that never end are under way; the fifth is refused, somebody else's is not."""
    greedy, other = await server.new_user(), await server.new_user()
    async with AsyncExitStack() as held:
        for _ in range(UPLOADS_PER_USER):
            target, _ = await place_for(server, greedy)
            request = bare("PUT", target.removeprefix(server.base), "Content-Length: 1000", "Expect: 100-continue")
            await held.enter_async_context(started_request(server, request))
        target, _ = await place_for(server, greedy)
        assert (await server.put(target, raw=shirt(200))).refusal == (503, 9003)
        await server.upload(other, shirt(200))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await server.put(target, raw=shirt(200))).status == 503:
            pass
