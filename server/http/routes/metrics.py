"""Routes: the metrics of the process in Prometheus' text format."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from actors.errors import NotAllowed, NotLoggedIn
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route


class MetricRoutes:
    """Serves /metrics to callers that send `token` as their bearer token.

    Without a token the metrics are closed, or, with `local`, open to callers on this machine.
    """

    def __init__(self, token: str, *, local: bool) -> None:
        self._token, self._local = token.encode(), local

    def routes(self) -> list[AnyRoute]:
        return [Route("GET", "/metrics", self._metrics, Access.PUBLIC)]

    async def _metrics(self, call: Call[NoBody, NoQuery]) -> web.Response:
        self._check(call.request)
        return web.Response(body=generate_latest(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

    def _check(self, request: web.Request) -> None:
        """Check that the caller may read the metrics.

        Raises NotLoggedIn for a wrong token, and NotAllowed when no token is configured and the caller is not local.
        """
        if self._token:
            authorization = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(authorization, b"Bearer " + self._token):
                raise NotLoggedIn
        elif not (self._local and _is_local(request)):
            raise NotAllowed


def _is_local(request: web.Request) -> bool:
    """Return whether the request comes from this machine and was not forwarded by a proxy that runs on it."""
    if hdrs.FORWARDED in request.headers or "X-Forwarded-For" in request.headers:
        return False
    try:
        return ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
