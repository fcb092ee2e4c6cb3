"""What no log line holds, whoever wrote it: phones, codes, tokens, secrets."""

from __future__ import annotations

import json

import pytest
import structlog

from tests.server.logs.written import (
    CODE,
    JWT,
    PHONE,
    REFRESH,
    WAYS,
    WEBHOOK,
    Log,
    Way,
    ours,
)


@pytest.mark.parametrize("say", WAYS)
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
def test_a_phone_is_masked(log: Log, say: Way, written: str) -> None:
    say(written.format(PHONE))
    assert "138****8000" in log.text
    assert PHONE not in log.text and "86138" not in log.text and "86 138" not in log.text


@pytest.mark.parametrize("written", ["138 0013 8000", "+86 138 0013 8000", "138-0013-8000"])
def test_a_phone_is_masked_as_people_write_it(log: Log, written: str) -> None:
    ours(f"to {written}.")
    assert "to 138****8000." in log.text


def test_a_phone_that_was_read_as_a_number_is_masked(log: Log) -> None:
    structlog.stdlib.get_logger("darkroom").info("a number", phone=int(PHONE), phones=[int(PHONE)])
    assert log.text.count("138****8000") == 2 and PHONE not in log.text
    assert not log.production or log.line["phones"] == ["138****8000"]


@pytest.mark.parametrize("text", ["1795420800000", "a13800138000", "13800138000f", "12800138000", "00138001380001"])
def test_a_longer_run_of_letters_and_digits_is_an_id_and_stays(log: Log, text: str) -> None:
    ours(text)
    assert text in log.text


@pytest.mark.parametrize("say", WAYS)
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
def test_a_secret_in_a_text_is_redacted(log: Log, say: Way, secret: str, written: str) -> None:
    say(written.format(secret))
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
def test_a_fact_whose_name_says_that_it_is_secret_is_redacted(log: Log, name: str, value: object) -> None:
    structlog.stdlib.get_logger("darkroom").info("a login", **{name: value})
    structlog.stdlib.get_logger("darkroom").info("a login", facts=[{"more": {name: value}}])
    assert log.text.count("[redacted]") == 2 and CODE not in log.text


def test_other_names_keep_their_values(production: Log) -> None:
    structlog.stdlib.get_logger("darkroom").info("refused", provider_code="LIMIT", refusal="x", tokens=3, key="kid")
    assert production.line["provider_code"] == "LIMIT" and production.line["tokens"] == 3
    assert "redacted" not in production.text


def test_a_value_that_holds_itself_is_told_and_holds_nothing_up(production: Log) -> None:
    loop: list[object] = [PHONE]
    loop.append(loop)
    structlog.stdlib.get_logger("darkroom").info("odd", loop=loop)
    assert PHONE not in production.text and production.line["loop"][0] == "138****8000"
