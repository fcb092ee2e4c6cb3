"""All steps of a user: log in, buy, pay, upload, and get pictures for exactly one generation."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tests.support.pictures import blank, shirt
from tests.support.server import LocalServer


async def test_from_login_to_three_pictures_and_the_ledger(server: LocalServer) -> None:
    user = await server.new_user("13800138000")
    me = (await server.get("/api/auth/me", user=user)).data
    assert (me["phone"], me["isMember"], me["quota_remaining"], me["quota_expireAt"]) == ("13800138000", False, 0, None)

    order = (await server.post("/api/membership/purchase", {"channel": "wx"}, user=user)).data
    assert (order["amount"], order["channel"]) == (9900, "wx")
    await server.post("/sandbox/pay", {"orderId": order["orderId"]})
    status = (await server.get("/api/membership/status", user=user)).data
    assert (status["isMember"], status["quota_remaining"], status["expireDays"]) == (True, 100, 30)

    image_url = await server.upload(user, shirt())
    created = await server.create_task(user, image_url)
    assert (created["status"], created["quota_remaining"]) == ("pending", 99)

    task = await server.wait_until_finished(user, created["taskId"])
    assert (task["status"], task["progress"], task["errorMessage"]) == ("success", 100, None)
    assert task["completedAt"] is not None
    await _check_pictures(server, task["resultUrls"])

    assert await server.ledger(user) == [("grant", 100, 100), ("charge", -1, 99)]
    entries = (await server.get("/api/quota/ledger", user=user)).data["entries"]
    assert [entry["reference"] for entry in entries] == [created["taskId"], order["orderId"]]
    listed = (await server.get("/api/task/list", user=user)).data
    assert (listed["total"], listed["tasks"][0]["id"]) == (1, created["taskId"])


async def _check_pictures(server: LocalServer, urls: list[str]) -> None:
    names = [url.partition("?")[0].rpartition("/")[2] for url in urls]
    assert names == ["matting.png", "white-bg.png", "enhanced.png"]
    downloads = [await server.get(url) for url in urls]
    matting, white, enhanced = (Image.open(io.BytesIO(download.raw)) for download in downloads)
    assert matting.mode == "RGBA" and matting.size == (400, 400)
    alpha = np.asarray(matting)[..., 3]
    assert alpha[200, 200] == 255 and alpha[5, 5] == 0, "the shirt is opaque and the floor transparent"
    assert white.mode == "RGB" and np.asarray(white)[5, 5].tolist() == [255, 255, 255]
    assert enhanced.width == enhanced.height


async def test_a_failed_task_is_refunded(server: LocalServer) -> None:
    member = await server.new_member()
    created = await server.create_task(member, await server.upload(member, blank()))
    task = await server.wait_until_finished(member, created["taskId"])
    assert (task["status"], task["resultUrls"]) == ("failed", [])
    assert task["errorMessage"] == "没有在图片中找到衣物，请换一张背景简洁的图片"
    english = await server.get(f"/api/task/{task['id']}", user=member, headers={"Accept-Language": "en"})
    assert english.data["errorMessage"] == "No garment was found in the picture; try a photo with a plain background"
    assert await server.ledger(member) == [("grant", 100, 100), ("charge", -1, 99), ("refund", 1, 100)]


async def test_each_template_gives_its_own_picture(server: LocalServer) -> None:
    member = await server.new_member("alipay")
    image_url = await server.upload(member, shirt())
    for template, name in (("matting", "matting.png"), ("white_bg", "white-bg.png"), ("enhanced", "enhanced.png")):
        created = await server.create_task(member, image_url, template=template)
        task = await server.wait_until_finished(member, created["taskId"])
        assert [url.partition("?")[0].rpartition("/")[2] for url in task["resultUrls"]] == [name]
    assert await server.remaining(member) == 97
