"""Routes: each declares its method and path, who may call it, and the models of its body and its query."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from aiohttp import web

from actors.auth.tokens import Caller, Tokens
from actors.errors import NotLoggedIn
from server.http.body import Body, Query, read_body, read_query
from server.http.errors import Failure
from server.http.json_response import json_response
from server.http.language import Text, prefers_english

B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


class Access(enum.Enum):
    """Who may call a route: everyone, users with an access token, or users who are admins at the time of the call."""

    PUBLIC = enum.auto()
    USER = enum.auto()
    ADMIN = enum.auto()


@dataclass(frozen=True, slots=True)
class Success:
    """The content of a successful response, without its envelope."""

    data: object = None
    message: Text | None = None


@dataclass(slots=True)
class Call(Generic[B, Q]):
    """One parsed request. On a public route `caller` is ANONYMOUS."""

    request: web.Request
    caller: Caller
    body: B
    query: Q

    @property
    def english(self) -> bool:
        return wants_english(self.request)

    def path(self, name: str) -> str:
        """Return the value of a path parameter."""
        return self.request.match_info[name]


class NoBody(Body):
    pass


class NoQuery(Query):
    pass


ANONYMOUS = Caller(user_id="", phone="", session_id="")


@dataclass(frozen=True, slots=True)
class Route(Generic[B, Q]):
    """One endpoint.

    `check_capacity` raises Overloaded when the actor's mailbox is full. It is called before the request is parsed, so
    that a rejection costs little.

    Beyond `max_in_flight` requests, further ones are rejected by admission control (admission.py). It is only for
    paths without parameters.
    """

    method: str
    path: str
    handler: Callable[[Call[B, Q]], Awaitable[Success | web.StreamResponse]]
    access: Access = Access.USER
    body: type[B] = NoBody  # type: ignore[assignment]  # a default for a type parameter needs Python 3.13
    query: type[Q] = NoQuery  # type: ignore[assignment]
    check_capacity: Callable[[], None] | None = None
    max_in_flight: int | None = None


AnyRoute = Route[Any, Any]
AdminCheck = Callable[[Caller], Awaitable[None]]
"""Raises NotAllowed if the caller is not an admin."""
Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


def wants_english(request: web.Request) -> bool:
    return prefers_english(request.headers.get("Accept-Language", ""))


def success_response(request: web.Request, reply: Success) -> web.StreamResponse:
    content: dict[str, object] = {"success": True, "data": reply.data}
    if reply.message is not None:
        content["message"] = reply.message.render(wants_english(request))
    return json_response(request, content)


def failure_response(request: web.BaseRequest, failure: Failure, request_id: str) -> web.StreamResponse:
    response = json_response(request, failure_content(failure, request_id), failure.status)
    response.headers.update({**failure.headers, "X-Request-Id": request_id})
    return response


def failure_content(failure: Failure, request_id: str) -> dict[str, object]:
    error = {"code": failure.code, "message": failure.message, "requestId": request_id}
    return {"success": False, "error": error}


def add_routes(
    app: web.Application, routes: Sequence[AnyRoute], tokens: Tokens, check_admin: AdminCheck
) -> dict[tuple[str, str], Endpoint]:
    """Add the routes to the application. Returns the endpoints without path parameters, by method and path."""
    fixed_endpoints = {}
    for route in routes:
        endpoint = _endpoint(route, tokens, check_admin)
        if "{" not in route.path:
            fixed_endpoints[route.method, route.path] = endpoint
        if route.method == "GET":
            app.router.add_get(route.path, endpoint)  # this adds HEAD as well
        else:
            app.router.add_route(route.method, route.path, endpoint)
    return fixed_endpoints


def _endpoint(route: Route[B, Q], tokens: Tokens, check_admin: AdminCheck) -> Endpoint:
    no_body, no_query = cast(B, NoBody()), cast(Q, NoQuery())  # used only where the route's models are these

    async def endpoint(request: web.Request) -> web.StreamResponse:
        if route.check_capacity is not None:
            route.check_capacity()
        caller = ANONYMOUS if route.access is Access.PUBLIC else authenticate(request, tokens)
        if route.access is Access.ADMIN:
            await check_admin(caller)
        query = no_query if route.query is NoQuery else read_query(request, route.query)
        body = no_body if route.body is NoBody else await read_body(request, route.body)
        reply = await route.handler(Call(request, caller, body, query))
        return success_response(request, reply) if isinstance(reply, Success) else reply

    return endpoint


def authenticate(request: web.Request, tokens: Tokens) -> Caller:
    """Return the user of the request's bearer token (RFC 6750). Raises NotLoggedIn."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotLoggedIn
    return tokens.verify(token.strip())
