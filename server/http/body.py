"""Request bodies and queries: strict JSON and query strings, parsed into pydantic models."""

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

MAX_JSON_BYTES = 64 * 1024  # errors.py names this limit in its text for 413
MAX_JSON_DEPTH = 32
MAX_OFFSET = 10_000  # rows that a list reads and skips; with a cursor a client gets beyond it
BODY_SECONDS = 30  # the time a JSON body has to arrive

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[][{}]")
_INTEGER = re.compile(r"[0-9]{1,18}")

_INCOMPLETE_BODY = ErrorSpec(4001, 400, Text("请求体不完整", "The request body is incomplete"))
_DUPLICATE_PARAMETER = ErrorSpec(
    4001, 400, Text("同一个查询参数出现了多次", "A query parameter appears more than once")
)
_COMPRESSED_BODY = ErrorSpec(
    4001,
    400,
    Text("不支持压缩的请求体，请发送未压缩的内容", "Compressed request bodies are not supported; send it uncompressed"),
)

FieldErrors = Mapping[str, Callable[[], DomainError]]
"""For a field's name the function that makes its error."""


class Body(BaseModel):
    """The JSON object of a request. Unknown fields are ignored, so a client cannot set an amount or a user id.

    `field_errors` has the error of each field that api.md gives its own code. It makes a new error each time, because
    an exception keeps a reference to every frame that it was raised through.
    """

    model_config = ConfigDict(strict=True, frozen=True)
    field_errors: ClassVar[FieldErrors] = {}


class Query(BaseModel):
    """The query of a request. Its values are text, so numbers are parsed here, from ASCII digits only."""

    model_config = ConfigDict(frozen=True)


B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


def _check_digits(value: object) -> object:
    if isinstance(value, str) and _INTEGER.fullmatch(value) is None:
        raise ValueError("integer")
    return value


def _check_web_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("web_url")
    return text


# No control characters and no line breaks. Pydantic itself refuses lone surrogates, which JSON can contain and UTF-8
# cannot. It is a pattern and not a function, because pydantic checks a pattern without calling Python
# (docs/decisions/0016).
_ONE_LINE = r"^[^\x00-\x1f\x7f\u0080-\u009f\u2028\u2029]*$"
Line = Annotated[str, Field(pattern=_ONE_LINE)]
ResultUrl = Annotated[Line, AfterValidator(_check_web_url)]
QueryInteger = Annotated[int, BeforeValidator(_check_digits)]


async def read_body(request: web.Request, model: type[B]) -> B:
    """Read and parse the body.

    Raises RequestRefused or the model's own error for the first bad field, HTTPRequestEntityTooLarge above 64 KiB.
    """
    return parse_body(await read_bytes(request), model)


async def read_bytes(request: web.Request) -> bytes:
    """Read the whole body.

    Raises HTTPRequestEntityTooLarge above the limit; when Content-Length is above it, nothing is read.
    """
    if (length := request.content_length or 0) > MAX_JSON_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_JSON_BYTES, length)
    if request.content.is_eof() and _is_uncompressed(request):  # nearly every body has arrived: no need to wait
        if request.content.total_bytes > MAX_JSON_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_JSON_BYTES, request.content.total_bytes)
        return request.content.read_nowait()
    async with receiving_body(request, BODY_SECONDS):
        return await request.read()


@asynccontextmanager
async def receiving_body(request: web.Request, seconds: float) -> AsyncIterator[None]:
    """Limit the time in which a body is read.

    Raises HTTPRequestTimeout after `seconds`, RequestRefused if the body is incomplete or compressed.
    """
    # With compression a few bytes, even from a client without login, could cause any amount of work.
    if not _is_uncompressed(request):
        raise RequestRefused(_COMPRESSED_BODY)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionResetError):
        raise RequestRefused(_INCOMPLETE_BODY) from None


def _is_uncompressed(request: web.Request) -> bool:
    return request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() == "identity"


def parse_body(raw: bytes, model: type[B]) -> B:
    """Parse a JSON body.

    Raises RequestRefused for malformed JSON, and RequestRefused or the model's error for the first bad field.
    """
    try:
        _check_depth(raw)
        value = _JSON.decode(raw.decode("utf-8"))
    except ValueError as fault:
        raise RequestRefused(_malformed_json(fault)) from None
    if not isinstance(value, dict):
        raise RequestRefused(_malformed_json(ValueError("the body must be an object")))
    return validate(value, model)


def validate(value: object, model: type[B], parent: str = "") -> B:
    """Validate the value of the field `parent`, or of the whole body.

    Raises RequestRefused or the model's error for the first bad field.
    """
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        _raise_field_error(invalid.errors(include_url=False)[0], model.field_errors, parent)


def read_query(request: web.Request, model: type[Q]) -> Q:
    """Parse the query. Raises RequestRefused for the first bad parameter, and if one appears more than once."""
    parameters = dict(request.query)
    if len(parameters) < len(request.query):
        raise RequestRefused(_DUPLICATE_PARAMETER)
    try:
        return model.model_validate(parameters)
    except ValidationError as invalid:
        _raise_field_error(invalid.errors(include_url=False)[0], {})


def _raise_field_error(error: ErrorDetails, field_errors: FieldErrors, parent: str = "") -> NoReturn:
    name = ".".join([parent, *map(str, error["loc"])] if parent else map(str, error["loc"]))
    if name in field_errors:
        raise field_errors[name]()
    if error.get("ctx", {}).get("pattern") == _ONE_LINE:
        error["type"] = "control_characters"
    problem = validation_problem(error)
    text = Text(f"参数 {name} 有误：{problem.zh}", f"Invalid parameter {name}: {problem.en}")
    raise RequestRefused(ErrorSpec(4001, 400, text))


def _malformed_json(fault: ValueError) -> ErrorSpec:
    detail = str(fault)[:100]
    text = Text(f"请求体不是有效的 JSON 对象：{detail}", f"The request body is not a valid JSON object: {detail}")
    return ErrorSpec(4001, 400, text)


def _check_depth(raw: bytes) -> None:
    """Check how deeply the JSON is nested, because Python's own limit depends on its version. Raises ValueError."""
    if raw.count(b"{") + raw.count(b"[") <= MAX_JSON_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_JSON_DEPTH:
            raise ValueError(f"nested deeper than {MAX_JSON_DEPTH} levels")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key appears more than once")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
