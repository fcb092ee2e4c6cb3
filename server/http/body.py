"""Request bodies and queries, parsed once: strict JSON into strict models."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar

from aiohttp import hdrs, web
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from actors.errors import DomainError
from server.http.errors import ErrorSpec, RequestRefused
from server.http.language import Text
from server.http.messages import validation_problem

JSON_BYTES = 64 * 1024
JSON_DEPTH = 32
BODY_SECONDS = 30

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[][{}]")
_INTEGER = re.compile(r"[0-9]{1,18}")

_BROKEN = ErrorSpec(4001, 400, Text("请求体不完整", "The body is incomplete"))
_TWICE = ErrorSpec(4001, 400, Text("同一个查询参数出现了多次", "A query parameter is given twice"))
_PACKED = ErrorSpec(4001, 400, Text("不支持压缩的请求体", "Compressed bodies are not accepted; send it as it is"))


Refusals = Mapping[str, Callable[[], DomainError]]


class Body(BaseModel):
    """A request's JSON object. Unknown fields are passed over, so that a client cannot send an amount or a user id.

    `refusals` makes the error for a bad field, where api.md gives it a code of its own. It makes a fresh one each time:
    an exception keeps the frames it was raised through, and one that is raised again and again keeps them all.
    """

    model_config = ConfigDict(strict=True, frozen=True)
    refusals: ClassVar[Refusals] = {}


MAX_OFFSET = 10_000  # rows that are read to be passed over; a cursor goes further


class Query(BaseModel):
    """A request's query. Values are text, so numbers are parsed here, ASCII digits only."""

    model_config = ConfigDict(frozen=True)


B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


def _digits(value: object) -> object:
    if isinstance(value, str) and _INTEGER.fullmatch(value) is None:
        raise ValueError("integer")
    return value


def _web_address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("web_address")
    return text


# No control characters and no line breaks; lone surrogates, which JSON can write and UTF-8 cannot, pydantic refuses
# by itself. A pattern needs no call of Python: checking a creation's body takes 3 us less than by a function.
_ONE_LINE = r"^[^\x00-\x1f\x7f\u0080-\u009f\u2028\u2029]*$"
Line = Annotated[str, Field(pattern=_ONE_LINE)]
WebAddress = Annotated[Line, AfterValidator(_web_address)]
QueryInteger = Annotated[int, BeforeValidator(_digits)]


async def read_body(request: web.Request, model: type[B]) -> B:
    """Raises RequestRefused or the model's own error for the first bad field; HTTPRequestEntityTooLarge past 64 KiB."""
    return parse_body(await read_bytes(request), model)


async def read_bytes(request: web.Request) -> bytes:
    """The whole body. Raises HTTPRequestEntityTooLarge past the limit, at once where the length is told beforehand."""
    if (length := request.content_length or 0) > JSON_BYTES:
        raise web.HTTPRequestEntityTooLarge(JSON_BYTES, length)
    if request.content.is_eof() and _is_plain(request):  # nearly every body is here already: nothing to wait for
        if request.content.total_bytes > JSON_BYTES:
            raise web.HTTPRequestEntityTooLarge(JSON_BYTES, request.content.total_bytes)
        return request.content.read_nowait()
    async with arriving(request, BODY_SECONDS):
        return await request.read()


@asynccontextmanager
async def arriving(request: web.Request, seconds: float) -> AsyncIterator[None]:
    """Limit the time in which a body is read.

    Raises HTTPRequestTimeout after `seconds`, RequestRefused for a body that is incomplete or compressed.
    """
    # Unpacking is the sender's choice of how much work a few bytes make, before anybody has logged in.
    if not _is_plain(request):
        raise RequestRefused(_PACKED)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionResetError):
        raise RequestRefused(_BROKEN) from None


def _is_plain(request: web.Request) -> bool:
    return request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() == "identity"


def parse_body(raw: bytes, model: type[B]) -> B:
    try:
        _check_depth(raw)
        value = _JSON.decode(raw.decode("utf-8"))
    except ValueError as fault:
        raise RequestRefused(_malformed(fault)) from None
    if not isinstance(value, dict):
        raise RequestRefused(_malformed(ValueError("an object is needed")))
    return validate(value, model)


def validate(value: object, model: type[B], under: str = "") -> B:
    """`under` is the field that holds the value. Raises RequestRefused or the model's error for the first bad field."""
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        _refuse(invalid.errors(include_url=False)[0], model.refusals, under)


def read_query(request: web.Request, model: type[Q]) -> Q:
    """Raises RequestRefused for the first bad parameter, and for one that is given twice."""
    given = dict(request.query)
    if len(given) < len(request.query):
        raise RequestRefused(_TWICE)
    try:
        return model.model_validate(given)
    except ValidationError as invalid:
        _refuse(invalid.errors(include_url=False)[0], {})


def _refuse(error: ErrorDetails, refusals: Refusals, under: str = "") -> NoReturn:
    name = ".".join([under, *map(str, error["loc"])] if under else map(str, error["loc"]))
    if name in refusals:
        raise refusals[name]()
    if error.get("ctx", {}).get("pattern") == _ONE_LINE:
        error["type"] = "control_characters"
    said = validation_problem(error)
    raise RequestRefused(ErrorSpec(4001, 400, Text(f"参数 {name} 有误：{said.zh}", f"Parameter {name}: {said.en}")))


def _malformed(fault: ValueError) -> ErrorSpec:
    detail = str(fault)[:100]
    return ErrorSpec(
        4001, 400, Text(f"请求体不是有效的 JSON 对象：{detail}", f"The body is not a JSON object: {detail}")
    )


def _check_depth(raw: bytes) -> None:
    """Interpreters differ in how deep they can read. Raises ValueError."""
    if raw.count(b"{") + raw.count(b"[") <= JSON_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > JSON_DEPTH:
            raise ValueError(f"nested deeper than {JSON_DEPTH} levels")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
