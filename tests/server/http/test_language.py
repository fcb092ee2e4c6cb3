"""The language of texts follows Accept-Language; error codes never depend on it."""

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
def test_the_accept_language_header_selects_english_only_when_preferred(header: str, english: bool) -> None:
    assert prefers_english(header) is english


@pytest.mark.parametrize(
    "path, refusal, zh, en",
    [
        ("/nothing", (404, 404), "接口不存在", "There is no endpoint at this path"),
        (
            "/api/quota",
            (401, 1001),
            "未登录或登录已过期，请重新登录",
            "You are not logged in, or your login has expired; log in again",
        ),
        ("/media/x", (403, 4003), "链接无效或已过期，请重新获取", "This link is invalid or has expired; get a new one"),
        (
            "/sandbox/sms",
            (400, 4001),
            "参数 phone 有误：缺少该参数",
            "Invalid parameter phone: this parameter is required",
        ),
    ],
)
async def test_refusals_are_in_the_preferred_language_and_chinese_by_default(
    server: LocalServer, path: str, refusal: tuple[int, int], zh: str, en: str
) -> None:
    for language, text in (("", zh), ("zh-CN", zh), ("en", en), ("fr", zh)):
        response = await server.get(path, headers={"Accept-Language": language})
        assert (response.refusal, response.content["error"]["message"]) == (refusal, text)


async def test_success_messages_are_in_the_preferred_language(server: LocalServer) -> None:
    for language, text in (("", "验证码已发送"), ("en", "Code sent")):
        response = await server.post(
            "/api/auth/send-code", {"phone": "13800138000"}, headers={"Accept-Language": language}
        )
        assert response.content["message"] == text
