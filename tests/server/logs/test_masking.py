"""No log line contains a phone, a code, a token or a secret, whichever library wrote it."""

from __future__ import annotations

import json

import pytest
import structlog

from tests.server.logs.captured_log import (
    CODE,
    JWT,
    LOG_CALLS,
    PHONE,
    REFRESH,
    WEBHOOK,
    CapturedLog,
    LogCall,
    log_ours,
)


@pytest.mark.parametrize("log_call", LOG_CALLS)
@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "手机{}号",
        "+86{}",
        "86{}",
        "0086{}",
        "+86 {}",
        "a\n{}\n",
        "phone=%2B86{}&x=",
        "/sms?phone={}",
        "(%20{})",
        "_{}_",
    ],
)
def test_a_phone_is_masked(log: CapturedLog, log_call: LogCall, written: str) -> None:
    log_call(written.format(PHONE))
    assert "138****8000" in log.text
    assert PHONE not in log.text and "86138" not in log.text and "86 138" not in log.text


@pytest.mark.parametrize("written", ["138 0013 8000", "+86 138 0013 8000", "138-0013-8000"])
def test_a_phone_with_separators_is_masked(log: CapturedLog, written: str) -> None:
    log_ours(f"to {written}.")
    assert "to 138****8000." in log.text


def test_a_phone_as_a_number_is_masked(log: CapturedLog) -> None:
    structlog.stdlib.get_logger("darkroom").info("a number", phone=int(PHONE), phones=[int(PHONE)])
    assert log.text.count("138****8000") == 2 and PHONE not in log.text
    assert not log.production or log.line["phones"] == ["138****8000"]


@pytest.mark.parametrize("text", ["1795420800000", "a13800138000", "13800138000f", "12800138000", "00138001380001"])
def test_ids_are_not_masked(log: CapturedLog, text: str) -> None:
    log_ours(text)
    assert text in log.text


@pytest.mark.parametrize("log_call", LOG_CALLS)
@pytest.mark.parametrize(
    "secret, written",
    [
        (JWT, "{}"),
        (JWT, "token {}, which is over"),
        (JWT.rpartition(".")[0] + ".", "{}"),  # alg: none
        (REFRESH, "{}"),
        (REFRESH, "\n{}\n"),
        (WEBHOOK, "the secret is {}"),
        ("c2VjcmV0LXRva2Vu", "Authorization: Bearer {}"),
        ("c2VjcmV0LXRva2Vu", "\nauthorization: bearer  {}"),
        ("x7Yq-c2ln", "GET /media/a.png?expires=1&signature={} HTTP/1.1"),
        (CODE, "LogIn(phone='1', code='{}')"),
        (CODE, '{{"phone": "1", "code": "{}"}}'),
        (CODE, '{{"phone": "1", "code": {}}}'),
        (CODE, "code={}"),
        ("s3cr3t", "Refresh(refresh_token='{}', x=1)"),
        ("s3cr3t", '{{"refreshToken":"{}"}}'),
        ("s3cr3t", "it's " + json.dumps('{{"token": "{}"}}')),
        ("s3cr3t", "password='{}"),
        ("s3cr3t", "Settings(password = 'it\\'s {}')"),
    ],
)
def test_a_secret_in_a_text_is_redacted(log: CapturedLog, log_call: LogCall, secret: str, written: str) -> None:
    log_call(written.format(secret))
    assert "[redacted]" in log.text
    assert secret not in log.text


@pytest.mark.parametrize(
    "name",
    [
        *("code", "token", "refresh_token", "refreshToken", "secret", "password", "authorization", "digest"),
        *("Code", "TOKEN", "Refresh-Token", "access_token"),
    ],
)
@pytest.mark.parametrize("value", [CODE, int(CODE), CODE.encode(), [CODE], {"x": CODE}])
def test_a_fact_with_a_secret_name_is_redacted(log: CapturedLog, name: str, value: object) -> None:
    structlog.stdlib.get_logger("darkroom").info("a login", **{name: value})
    structlog.stdlib.get_logger("darkroom").info("a login", facts=[{"more": {name: value}}])
    assert log.text.count("[redacted]") == 2 and CODE not in log.text


def test_facts_with_other_names_are_kept(production: CapturedLog) -> None:
    structlog.stdlib.get_logger("darkroom").info("refused", provider_code="LIMIT", refusal="x", tokens=3, key="kid")
    assert production.line["provider_code"] == "LIMIT" and production.line["tokens"] == 3
    assert "redacted" not in production.text


def test_a_value_that_contains_itself_is_logged(production: CapturedLog) -> None:
    loop: list[object] = [PHONE]
    loop.append(loop)
    structlog.stdlib.get_logger("darkroom").info("odd", loop=loop)
    assert PHONE not in production.text and production.line["loop"][0] == "138****8000"
