"""Tasks: what cannot be created, whose they are, and how they are listed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.account_state import AccountState, account_state
from tests.support.server import ApiUser, LocalServer
from tests.support.uploads import store_picture, task_body

CREATE, LIST = "/api/task/create", "/api/task/list"
NOT_STRINGS: tuple[object, ...] = (None, 5, 1.5, True, [], ["basic_clean"], {})
UNKNOWN_ID = "0" * 32


async def refused(server: LocalServer, user: ApiUser, body: object) -> tuple[int, int]:
    """Return how a creation is refused, after checking that it changed nothing."""
    before = await account_state(server, user)
    refusal = (await server.post(CREATE, body, user=user)).refusal
    assert await account_state(server, user) == before, body
    return refusal


async def test_an_unknown_task_type_is_refused_and_charges_nothing(server: LocalServer) -> None:
    member = await server.new_member()
    url = await store_picture(server, member)
    names = (
        "",
        "model_pose12",
        "Basic_Clean",
        "basic_clean\n",
        "basic_clean ",
        "list",
        "\ud800",
        "{type}",
        "b" * 60_000,
    )
    for name in (*names, *NOT_STRINGS):
        assert await refused(server, member, task_body(url, type=name)) == (400, 4001), repr(name)
    assert await refused(server, member, {"inputImageUrl": url}) == (400, 4001)


async def test_invalid_parameters_are_refused_and_charge_nothing(server: LocalServer) -> None:
    member = await server.new_member()
    url = await store_picture(server, member)
    templates = ("", "ALL", "all\n", "everything", "\ud800", "４", "a" * 60_000, *NOT_STRINGS)
    params: list[object] = [{"template": template} for template in templates]
    params += [{"scene": "street"}, {"amount": 0}, {"": 1}, {"\ud800": 1}, {"a\n\x00": 1}, {"__class__": {}}]
    for wrong in (*params, None, 5, "all", [], [{}]):
        assert await refused(server, member, task_body(url, params=wrong)) == (400, 4001), repr(wrong)


async def test_an_image_outside_our_store_is_refused_and_charges_nothing(server: LocalServer) -> None:
    member = await server.new_member()
    base, url = server.base, await store_picture(server, member)
    foreign = (
        *("", "x", "/media/x", "http://", "file:///etc/passwd", "javascript:alert(1)", "data:image/png;base64,AAAA"),
        *("https://example.com/a.png", "http://169.254.169.254/latest/meta-data/", "http://[::1]/media/x.png"),
        *(f"{base}.example.com/media/x.png", f"{base}@example.com/media/x", base, f"{base}/health", f"{base}/media"),
        *(f"{base.upper()}/MEDIA/x", f" {base}/media/x", f"{base}/media/\nx", f"{base}/media/\ud800", "\ud800"),
        *(f"{url}\ud800", f"{url}\n", f"{url}\x00", f"{url}\u2028"),
        *("http://" + "a" * 2041, "http://" + "a" * 60_000, "http://[", "http://a:b:c", "//[/media/"),
    )
    for address in (*foreign, *NOT_STRINGS):
        assert await refused(server, member, task_body("", inputImageUrl=address)) == (400, 4001), repr(address)
    assert await refused(server, member, {"type": "basic_clean"}) == (400, 4001)


async def test_the_upload_of_another_user_is_refused_and_charges_nothing(server: LocalServer) -> None:
    owner, member = await server.new_member(), await server.new_member()
    url = await store_picture(server, owner)
    assert await refused(server, member, task_body(url)) == (403, 4003)
    assert await refused(server, member, task_body(url.replace(owner.id, member.id))) == (403, 4003)
    assert await refused(server, owner, task_body(url.replace("/input/", "/output/"))) == (403, 4003)
    assert (await server.create_task(owner, url))["quota_remaining"] == 99


async def test_an_altered_address_is_refused_and_charges_nothing(server: LocalServer) -> None:
    member = await server.new_member()
    place = (await server.get("/api/media/sts", user=member)).data
    url = await store_picture(server, member)
    plain, _, query = url.partition("?")
    for altered in (
        plain,
        f"{plain}?",
        f"{url}0",
        f"{url}#x",
        f"{plain}?x&{query}x",
        place["uploadUrl"],
    ):
        assert await refused(server, member, task_body(altered)) == (403, 4003), altered
    for path in ("../../darkroom.sqlite3", "x/../" + place["key"], "/" + place["key"], place["key"].upper(), ""):
        assert await refused(server, member, task_body(f"{server.base}/media/{path}?{query}")) == (403, 4003), path


async def test_a_missing_upload_is_refused_and_charges_nothing(server: LocalServer) -> None:
    member = await server.new_member()
    place = (await server.get("/api/media/sts", user=member)).data
    assert await refused(server, member, task_body(place["inputImageUrl"])) == (404, 4004)


async def test_a_user_without_a_membership_cannot_create_a_task(server: LocalServer) -> None:
    user = await server.new_user()
    assert await refused(server, user, task_body(await store_picture(server, user))) == (403, 1002)
    assert await account_state(server, user) == AccountState(0, [], [], [])


async def test_costs_and_owners_in_a_creation_are_ignored(server: LocalServer) -> None:
    victim, member = await server.new_member(), await server.new_member()
    forged = {"cost": 0, "amount": -5, "userId": victim.id, "status": "success", "taskId": UNKNOWN_ID, "quota": 1e6}
    created = (await server.post(CREATE, task_body(await store_picture(server, member), **forged), user=member)).data
    assert (created["status"], created["quota_remaining"]) == ("pending", 99)
    assert created["taskId"] != UNKNOWN_ID
    assert await server.remaining(victim) == 100


async def test_the_task_of_another_user_is_403_and_reveals_nothing(server: LocalServer) -> None:
    owner, other = await server.new_member(), await server.new_member()
    task = (await server.create_task(owner, await store_picture(server, owner)))["taskId"]
    response = await server.get(f"/api/task/{task}", user=other)
    assert response.refusal == (403, 4003)
    assert owner.id.encode() not in response.raw and task.encode() not in response.raw
    assert (await server.get(f"{LIST}?userId={owner.id}&cursor={'f' * 32}", user=other)).data["total"] == 0
    assert (await server.get(f"/api/task/{task}", user=owner)).data["id"] == task


async def test_an_unknown_task_is_404(server: LocalServer) -> None:
    user = await server.new_user()
    for task in [UNKNOWN_ID, "x", "LIST", "%00", "%0a", "%ff", "..%2flist", "' OR 1=1 --", "9" * 5000, "%F0%9F%98%80"]:
        assert (await server.get(f"/api/task/{task}", user=user)).refusal == (404, 4004), task


async def five_tasks(server: LocalServer) -> tuple[ApiUser, list[str]]:
    """A member and their tasks, newest first."""
    member = await server.new_member()
    url = await store_picture(server, member)
    return member, [(await server.create_task(member, url))["taskId"] for _ in range(5)][::-1]


def ids(page: Any) -> list[str]:
    return [task["id"] for task in page["tasks"]]


async def test_list_is_never_taken_for_a_task_id(server: LocalServer) -> None:
    member, task_ids = await five_tasks(server)
    page = (await server.get(LIST, user=member)).data
    assert (ids(page), page["total"], page["limit"], page["offset"]) == (task_ids, 5, 10, 0)
    assert page["nextCursor"] is None


async def test_pages_by_cursor_and_by_offset_list_each_task_once(server: LocalServer) -> None:
    member, task_ids = await five_tasks(server)
    by_offset = [ids((await server.get(f"{LIST}?limit=2&offset={n}", user=member)).data) for n in (0, 2, 4, 6)]
    assert by_offset == [task_ids[:2], task_ids[2:4], task_ids[4:], []]
    listed, path = [], f"{LIST}?limit=2"
    while path:
        page = (await server.get(path, user=member)).data
        assert page["total"] == 5
        listed += ids(page)
        path = page["nextCursor"] and f"{LIST}?limit=2&cursor={page['nextCursor']}"
    assert listed == task_ids
    full_page = (await server.get(f"{LIST}?limit=5", user=member)).data
    assert full_page["nextCursor"] is None, "a full last page has no next cursor"


async def test_a_new_task_does_not_shift_the_pages_after_a_cursor(server: LocalServer) -> None:
    member, task_ids = await five_tasks(server)
    first = (await server.get(f"{LIST}?limit=2", user=member)).data
    await server.create_task(member, await store_picture(server, member))
    second = (await server.get(f"{LIST}?limit=2&cursor={first['nextCursor']}", user=member)).data
    assert ids(first) + ids(second) == task_ids[:4]


@pytest.mark.parametrize(
    "query, count",
    [
        *(("status=pending", 5), ("status=success", 0), ("status=failed", 0), ("type=basic_clean", 5)),
        *(("type=model_pose12", 0), ("type=", 0), ("type=%00", 0), ("type=' OR 1=1 --", 0)),
        *(("status=pending&type=basic_clean", 5), ("unknown=1&userId=x", 5), ("limit=100", 5), ("offset=10000", 0)),
    ],
)
async def test_the_list_can_be_filtered_by_status_and_type(server: LocalServer, query: str, count: int) -> None:
    member, _ = await five_tasks(server)
    page = (await server.get(f"{LIST}?{query}", user=member)).data
    assert len(page["tasks"]) == count
    assert page["total"] == (5 if "offset" in query else count)


async def test_an_invalid_query_of_the_list_is_refused(server: LocalServer) -> None:
    user = await server.new_user()
    for query in [
        *(
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=1000000000",
            "limit=" + "9" * 5000,
            "limit=1.5",
            "limit=1e1",
            "offset=10001",
        ),
        *("limit=", "limit=%EF%BC%95", "limit=%D9%A5", "limit=5%0A", "limit=%2B5", "limit=NaN", "limit=null"),
        *("offset=-1", "offset=1000001", "offset=99999999999999999999", "offset=x", "offset=%EF%BC%95"),
        *("status=", "status=done", "status=PENDING", "status=pending%0A", "status=%00", "type=" + "t" * 65),
        *("cursor=", "cursor=x", "cursor=g" + "0" * 31, "cursor=" + "A" * 32, "cursor=" + "0" * 32 + "%0A"),
    ]:
        assert (await server.get(f"{LIST}?{query}", user=user)).refusal == (400, 4001), query
