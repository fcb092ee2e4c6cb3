"""Signed addresses: where to put a picture, and that an address is good for one thing and for its time only."""

from __future__ import annotations

import re

import pytest
from yarl import URL

from tests.support.account_state import store_picture
from tests.support.pictures import shirt
from tests.support.server import LocalServer

ID = "0" * 32
NO_TEXT: tuple[object, ...] = (None, 5, True, [], {}, ["a.png"])
NO_NAMES = ("", "a" * 252 + ".png", "a/b.png", "../a.png", "..\\a.png", "a\x00.png", "a\n.png", "\x7f.png", "/.png")
NO_PICTURES = (
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
    """For a path as it is written, dots and all."""
    async with server.http.request(method, URL(address, encoded=True)) as response:
        return response.status


async def test_the_place_is_ones_own(server: LocalServer) -> None:
    person = await server.new_user()
    place = (await server.get(f"/api/media/sts?fileName=My%20Shirt.JPEG&taskId={ID}&userId=x", user=person)).data
    prefix = f"input/{person.id}/{ID}/"
    assert (place["taskId"], place["allowPrefix"], place["method"]) == (ID, prefix, "PUT")
    assert re.fullmatch(re.escape(prefix) + r"[0-9a-f]{32}\.jpg", place["key"]), "nothing of the person's own name"
    assert place["headers"] == {"Content-Type": "image/jpeg"}
    assert place["expiration"] == "2026-11-23T08:30:00.000Z", "half an hour"
    assert place["uploadUrl"].startswith(f"{server.base}/media/{place['key']}?")


async def test_a_name_no_file_should_have_gets_no_place(server: LocalServer) -> None:
    person = await server.new_user()
    for names, refusal in ((NO_NAMES, (400, 4001)), (NO_PICTURES, (415, 4015))):
        for name in names:
            place = await server.get(str(URL("/api/media/sts").with_query(fileName=name)), user=person)
            said = await server.post("/api/media/validate", {"fileName": name, "fileSize": 1}, user=person)
            assert place.refusal == refusal, repr(name)
            assert said.refusal == ((400, 4001) if name == "" else refusal), repr(name)
    for nothing in (*NO_TEXT, "\ud800.png"):
        assert (
            await server.post("/api/media/validate", {"fileName": nothing, "fileSize": 1}, user=person)
        ).refusal == (
            400,
            4001,
        )


@pytest.mark.parametrize(
    "task", ["", "x", "..", "%2e%2e%2f", "A" * 32, "0" * 31, "0" * 33, ID + "%0A", "%EF%BC%90" * 32]
)
async def test_a_task_id_is_never_a_path(server: LocalServer, task: str) -> None:
    person = await server.new_user()
    assert (await server.get(f"/api/media/sts?taskId={task}", user=person)).refusal == (400, 4001)


@pytest.mark.parametrize("size, refusal", [(0, (400, 4001)), (-1, (400, 4001)), (10 * 2**20 + 1, (413, 4013))])
async def test_sizes(server: LocalServer, size: int, refusal: tuple[int, int]) -> None:
    person = await server.new_user()
    assert (
        await server.post("/api/media/validate", {"fileName": "a.png", "fileSize": size}, user=person)
    ).refusal == refusal


async def test_ten_megabytes_are_fine(server: LocalServer) -> None:
    person = await server.new_user()
    for name in ("a.png", "A.JPG", "衣服.jpeg", "a b.png", "...png.png", "a" * 251 + ".png"):
        assert (
            await server.post("/api/media/validate", {"fileName": name, "fileSize": 10 * 2**20}, user=person)
        ).status == 200


def altered(url: str, owner: str, other: str) -> list[str]:
    """Every way to change a signed address into another one."""
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
async def test_an_altered_address_opens_nothing(server: LocalServer, method: str) -> None:
    owner, other = await server.new_user(), await server.new_user()
    url = await store_picture(server, owner)
    place = (await server.get("/api/media/sts?fileName=a.png", user=owner)).data
    good = place["uploadUrl"] if method == "PUT" else url
    for address in altered(good, owner.id, other.id):
        assert await raw_status(server, method, address) in (403, 404), address
    assert not list((server.data / "pictures").rglob(place["key"].rpartition("/")[2]))


async def test_an_address_is_for_its_own_method(server: LocalServer) -> None:
    person = await server.new_user()
    url = await store_picture(server, person)
    before = (await server.get(url)).raw
    assert (await server.put(url, raw=b"x")).refusal == (403, 4003)
    assert (await server.get(url)).raw == before
    place = (await server.get("/api/media/sts", user=person)).data
    assert (await server.get(place["uploadUrl"])).refusal == (403, 4003)
    assert (await server.call("DELETE", url)).refusal == (405, 405)


@pytest.mark.parametrize(
    "path",
    [
        *("../darkroom.sqlite3", "..%2fdarkroom.sqlite3", "%2e%2e/darkroom.sqlite3", "....//darkroom.sqlite3"),
        *("input/../../darkroom.sqlite3", f"input/{ID}/{ID}/..%2f..%2fx.png", f"input/{ID}/{ID}/../x.png"),
        *("/etc/passwd", "%2fetc%2fpasswd", "..\\darkroom.sqlite3", "..%5cx.png", f"input/{ID}/{ID}/x%00.png"),
        *(f"input/{ID}/{ID}/x.png%00.jpg", f"input/{ID}/{ID}/x.svg", f"incoming/{ID}.png", f"input/{ID}/x.png", "%ff"),
    ],
)
async def test_traversal_leads_nowhere(server: LocalServer, path: str) -> None:
    for method in ("GET", "PUT"):
        for query in ("", "?expires=99999999999&signature=" + "0" * 64):
            status = await raw_status(server, method, f"{server.base}/media/{path}{query}")
            assert status in (403, 404, 405), (method, path)


async def test_both_links_end_after_half_an_hour(server: LocalServer) -> None:
    person = await server.new_user()
    url = await store_picture(server, person)
    place = (await server.get("/api/media/sts", user=person)).data
    server.clock.advance(seconds=1799)
    assert (await server.get(url)).status == 200
    assert (await server.put(place["uploadUrl"], raw=b"no picture")).refusal == (415, 4015), "open still"
    server.clock.advance(seconds=1)
    assert (await server.get(url)).refusal == (403, 4003)
    assert (await server.call("HEAD", url)).status == 403
    assert (await server.put(place["uploadUrl"], raw=b"no picture")).refusal == (403, 4003)


async def test_a_download_is_private_and_ranges_are_harmless(server: LocalServer) -> None:
    url = await store_picture(server, await server.new_user())
    whole = await server.get(url)
    assert (whole.headers["Cache-Control"], whole.headers["Content-Type"]) == ("private, max-age=600", "image/png")
    for value in ("bytes=0-3", "bytes=-5", "bytes=9-2", "bytes=99999999999999999999-", "bytes=x", "bytes=0-1,3-4", "é"):
        partial = await server.get(url, headers={"Range": value})
        assert partial.status in (200, 206, 416), value
        assert partial.status == 416 or partial.raw in whole.raw


async def test_a_signed_address_of_nothing_is_404(server: LocalServer) -> None:
    person = await server.new_user()
    place = (await server.get("/api/media/sts", user=person)).data
    assert (await server.get(place["inputImageUrl"])).refusal == (404, 4004)


async def test_a_picture_is_given_whole_whatever_part_is_asked_for(server: LocalServer) -> None:
    url = await server.upload(await server.new_user(), shirt(200))
    whole = (await server.get(url)).raw
    for name, value in (("Range", "bytes=99999999-"), ("Range", "bytes=0-1"), ("If-Match", '"x"')):
        answer = await server.get(url, headers={name: value})
        assert (answer.status, answer.raw) == (200, whole)
