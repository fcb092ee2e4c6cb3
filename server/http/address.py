"""The network address a request comes from, as limits see it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web


class ClientAddress:
    """Believes X-Forwarded-For only from the proxies given: addresses or networks."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted: list[IPv4Network | IPv6Network] = [ip_network(proxy) for proxy in trusted_proxies]

    def of(self, request: web.Request) -> str:
        """The peer's address, or the last one a trusted chain of proxies vouches for. IPv6 counts by /64."""
        address = request.remote or ""
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        while forwarded and self._is_trusted(address):
            said = forwarded.pop().strip()
            if not _is_address(said):
                break
            address = said
        return _limited_by(address)

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _limited_by(address: str) -> str:
    if not _is_address(address):
        return address  # a unix socket has none
    parsed = ip_address(address)
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed), 64), strict=False))
