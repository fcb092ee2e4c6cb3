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
        address = _unmapped(request.remote or "")
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        while forwarded and self._is_trusted(address):
            said = forwarded.pop().strip()
            if not _is_address(said):
                break
            address = _unmapped(said)
        return _limited_by(address)

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _unmapped(address: str) -> str:
    """`::ffff:192.0.2.1`, as a socket for both families names an IPv4 peer, is 192.0.2.1."""
    parsed = ip_address(address) if _is_address(address) else None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return address if mapped is None else str(mapped)


def _limited_by(address: str) -> str:
    parsed = ip_address(address) if _is_address(address) else None  # a unix socket has none
    return str(ip_network((int(parsed), 64), strict=False)) if isinstance(parsed, IPv6Address) else address
