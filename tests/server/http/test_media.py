"""Signed addresses: each is valid for one method, one file and half an hour."""

from __future__ import annotations

import re

import pytest
from yarl import URL

from tests.support.pictures import shirt
from tests.support.server import LocalServer
from tests.support.uploads import store_picture

ID = "0" * 32
NOT_STRINGS: tuple[object, ...] = (None, 5, True, [], {}, ["a.png"])
INVALID_NAMES = (
    "",
    "a" * 252 + ".png",
    "a/b.png",
    "../a.png",
    "..\\a.png",
    "a\x00.png",
    "a\n.png",
    "\x7f.png",
    "/.png",
)
UNSUPPORTED_NAMES = (
    "a",
    ".",
    "..",
    ".png",
    "a.gif",
    "a.svg",
    "a.webp",
    "a.png.exe",
    "a.png ",
    "a.png.",
    "png",
    "a.ｐｎｇ",
    "a.heic",
)


async def raw_status(server: LocalServer, method: str, address: str) -> int:
    """Return the status for an address that is sent exactly as written, including its dots."""
    async with server.http.request(method, URL(address, encoded=True)) as response:
        return response.status


async def test_an_upload_address_belongs_to_the_user_and_the_task(server: LocalServer) -> None:
    user = await server.new_user()
    place = (await server.get(f"/api/media/sts?fileName=My%20Shirt.JPEG&taskId={ID}&userId=x", user=user)).data
    prefix = f"input/{user.id}/{ID}/"
    assert (place["taskId"], place["allowPrefix"], place["method"]) == (ID, prefix, "PUT")
    assert re.fullmatch(re.escape(prefix) + r"[0-9a-f]{32}\.jpg", place["key"]), (
        "the key contains nothing of the file name"
    )
    assert place["headers"] == {"Content-Type": "image/jpeg"}
    assert place["expiration"] == "2026-11-23T08:30:00.000Z", "valid for half an hour"
    assert place["uploadUrl"].startswith(f"{server.base}/media/{place['key']}?")


async def test_an_invalid_file_name_is_refused(server: LocalServer) -> None:
    user = await server.new_user()
    for names, refusal in ((INVALID_NAMES, (400, 4001)), (UNSUPPORTED_NAMES, (415, 4015))):
        for name in names:
            place = await server.get(str(URL("/api/media/sts").with_query(fileName=name)), user=user)
            validated = await server.post("/api/media/validate", {"fileName": name, "fileSize": 1}, user=user)
            assert place.refusal == refusal, repr(name)
            assert validated.refusal == ((400, 4001) if name == "" else refusal), repr(name)
    for invalid in (*NOT_STRINGS, "\ud800.png"):
        assert (await server.post("/api/media/validate", {"fileName": invalid, "fileSize": 1}, user=user)).refusal == (
            400,
            4001,
        )


async def test_an_invalid_task_id_is_refused(server: LocalServer) -> None:
    user = await server.new_user()
    for task in ["", "x", "..", "%2e%2e%2f", "A" * 32, "0" * 31, "0" * 33, ID + "%0A", "%EF%BC%90" * 32]:
        assert (await server.get(f"/api/media/sts?taskId={task}", user=user)).refusal == (400, 4001), task


@pytest.mark.parametrize("size, refusal", [(0, (400, 4001)), (-1, (400, 4001)), (10 * 2**20 + 1, (413, 4013))])
async def test_an_invalid_file_size_is_refused(server: LocalServer, size: int, refusal: tuple[int, int]) -> None:
    user = await server.new_user()
    assert (
        await server.post("/api/media/validate", {"fileName": "a.png", "fileSize": size}, user=user)
    ).refusal == refusal


async def test_a_file_of_ten_megabytes_is_accepted(server: LocalServer) -> None:
    user = await server.new_user()
    for name in ("a.png", "A.JPG", "衣服.jpeg", "a b.png", "...png.png", "a" * 251 + ".png"):
        assert (
            await server.post("/api/media/validate", {"fileName": name, "fileSize": 10 * 2**20}, user=user)
        ).status == 200


def altered(url: str, owner: str, other: str) -> list[str]:
    """Return changed copies of a signed address."""
    plain, _, query = url.partition("?")
    expires, signature = (part.partition("=")[2] for part in query.split("&"))
    another = "0" if plain[-5] == "f" else "f"
    parts = [
        *("", "expires=", f"expires={expires}", f"signature={signature}", f"expires={expires}&signature="),
        *(f"expires={int(expires) + 1}&signature={signature}", f"expires=9{expires}&signature={signature}"),
        *(f"expires={expires}&signature={signature[:-1]}", f"expires={expires}&signature={signature}0"),
        *(f"expires={expires}&signature={signature[::-1]}", f"expires={expires}&signature={signature.upper()}A"),
        *(f"expires={expires}%0A&signature={signature}", f"expires=%2B{expires}&signature={signature}"),
        *(f"expires=0{expires}&signature={signature}", f"expires={'%EF%BC%91' * 10}&signature={signature}"),
        *(f"expires=&expires={expires}&signature={signature}", f"expires={expires}&signature=&signature={signature}"),
        *(
            f"expires={'9' * 5000}&signature={signature}",
            f"expires={expires}&signature=%C3%A9",
            "expires=NaN&signature=NaN",
        ),
    ]
    paths = [
        *(
            plain.replace(owner, other),
            plain.replace("input/", "output/"),
            plain[:-5] + another + ".png",
            plain[:-4] + ".jpg",
        ),
        *(plain + "/", plain + "%00", plain + "%0A", plain.replace("/media/", "/media//"), plain.upper()),
    ]
    return [f"{plain}?{part}" for part in parts] + [f"{path}?{query}" for path in paths]


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
async def test_an_altered_address_gives_no_access(server: LocalServer, method: str) -> None:
    owner, other = await server.new_user(), await server.new_user()
    url = await store_picture(server, owner)
    place = (await server.get("/api/media/sts?fileName=a.png", user=owner)).data
    good = place["uploadUrl"] if method == "PUT" else url
    for address in altered(good, owner.id, other.id):
        assert await raw_status(server, method, address) in (403, 404), address
    assert not list((server.data / "pictures").rglob(place["key"].rpartition("/")[2]))


async def test_a_signed_address_is_valid_only_for_its_own_method(server: LocalServer) -> None:
    user = await server.new_user()
    url = await store_picture(server, user)
    before = (await server.get(url)).raw
    assert (await server.put(url, raw=b"x")).refusal == (403, 4003)
    assert (await server.get(url)).raw == before
    place = (await server.get("/api/media/sts", user=user)).data
    assert (await server.get(place["uploadUrl"])).refusal == (403, 4003)
    assert (await server.call("DELETE", url)).refusal == (405, 405)


async def test_path_traversal_is_refused(server: LocalServer) -> None:
    for path in [
        *("../darkroom.sqlite3", "..%2fdarkroom.sqlite3", "%2e%2e/darkroom.sqlite3", "....//darkroom.sqlite3"),
        *("input/../../darkroom.sqlite3", f"input/{ID}/{ID}/..%2f..%2fx.png", f"input/{ID}/{ID}/../x.png"),
        *("/etc/passwd", "%2fetc%2fpasswd", "..\\darkroom.sqlite3", "..%5cx.png", f"input/{ID}/{ID}/x%00.png"),
        *(f"input/{ID}/{ID}/x.png%00.jpg", f"input/{ID}/{ID}/x.svg", f"incoming/{ID}.png", f"input/{ID}/x.png", "%ff"),
    ]:
        for method in ("GET", "PUT"):
            for query in ("", "?expires=99999999999&signature=" + "0" * 64):
                status = await raw_status(server, method, f"{server.base}/media/{path}{query}")
                assert status in (403, 404, 405), (method, path, query)


async def test_signed_addresses_expire_after_half_an_hour(server: LocalServer) -> None:
    user = await server.new_user()
    url = await store_picture(server, user)
    place = (await server.get("/api/media/sts", user=user)).data
    server.clock.advance(seconds=1799)
    assert (await server.get(url)).status == 200
    assert (await server.put(place["uploadUrl"], raw=b"no picture")).refusal == (415, 4015), (
        "the address is still valid"
    )
    server.clock.advance(seconds=1)
    assert (await server.get(url)).refusal == (403, 4003)
    assert (await server.call("HEAD", url)).status == 403
    assert (await server.put(place["uploadUrl"], raw=b"no picture")).refusal == (403, 4003)


async def test_a_download_is_private_and_a_range_reveals_nothing_else(server: LocalServer) -> None:
    url = await store_picture(server, await server.new_user())
    whole = await server.get(url)
    assert (whole.headers["Cache-Control"], whole.headers["Content-Type"]) == ("private, max-age=600", "image/png")
    for value in ("bytes=0-3", "bytes=-5", "bytes=9-2", "bytes=99999999999999999999-", "bytes=x", "bytes=0-1,3-4", "é"):
        partial = await server.get(url, headers={"Range": value})
        assert partial.status in (200, 206, 416), value
        assert partial.status == 416 or partial.raw in whole.raw


async def test_a_signed_address_of_a_missing_file_is_404(server: LocalServer) -> None:
    user = await server.new_user()
    place = (await server.get("/api/media/sts", user=user)).data
    assert (await server.get(place["inputImageUrl"])).refusal == (404, 4004)


async def test_a_picture_is_sent_whole_despite_range_and_conditional_headers(server: LocalServer) -> None:
    url = await server.upload(await server.new_user(), shirt(200))
    whole = (await server.get(url)).raw
    for name, value in (("Range", "bytes=99999999-"), ("Range", "bytes=0-1"), ("If-Match", '"x"')):
        response = await server.get(url, headers={name: value})
        assert (response.status, response.raw) == (200, whole)
