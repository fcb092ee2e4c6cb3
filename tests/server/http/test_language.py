"""Which language an Accept-Language header asks for, and that a code never depends on it."""

from __future__ import annotations

import pytest

from server.http.language import prefers_english
from tests.support.server import LocalServer


@pytest.mark.parametrize(
    "header, english",
    [
        *(("", False), ("en", True), ("EN-us", True), ("zh", False), ("zh-CN,zh;q=0.9,en;q=0.8", False)),
        *(("en-GB,en;q=0.9,zh;q=0.1", True), ("zh;q=0.5,en", True), ("en;q=0.5,zh;q=0.5", False), ("de", False)),
        *(("de,en;q=0.1", True), ("de,fr", False), ("*", False), ("en;q=0", False), ("zh;q=0,en;q=0.001", True)),
        *(("en ; q=0.9 , zh ; q=0.8", True), ("en;q=2,zh;q=1", False), ("en;q=-1", False), ("en;q=x", False)),
        *(("en;q=nan", False), ("en;q=inf,zh", False), ("en;q=", False), (";;;,,,", False), ("english", False)),
        *(("en;level=1", True), ("en\x00", False), ("zh" * 5000, False), ("\udcff", False)),
    ],
)
def test_preference(header: str, english: bool) -> None:
    assert prefers_english(header) is english


@pytest.mark.parametrize(
    "path, refusal, zh, en",
    [
        ("/nothing", (404, 404), "接口不存在", "There is nothing at this path"),
        (
            "/api/quota",
            (401, 1001),
            "请先登录，或登录已过期",
            "Please log in; the token is missing, invalid or expired",
        ),
        ("/media/x", (403, 4003), "链接无效或已过期", "This link was altered or has expired; get a new one"),
        ("/sandbox/sms", (400, 4001), "参数 phone 有误：缺少该参数", "Parameter phone: is required"),
    ],
)
async def test_refusals_in_both(server: LocalServer, path: str, refusal: tuple[int, int], zh: str, en: str) -> None:
    for language, words in (("", zh), ("zh-CN", zh), ("en", en), ("fr", zh)):
        answer = await server.get(path, headers={"Accept-Language": language})
        assert (answer.refusal, answer.content["error"]["message"]) == (refusal, words)


async def test_a_good_message_in_both(server: LocalServer) -> None:
    for language, words in (("", "验证码已发送"), ("en", "Code sent")):
        answer = await server.post(
            "/api/auth/send-code", {"phone": "13800138000"}, headers={"Accept-Language": language}
        )
        assert answer.content["message"] == words
