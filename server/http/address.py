"""The network address of a request, as rate limits use it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web


class ClientAddress:
    """Finds the client's address. Trusts X-Forwarded-For only from `trusted_proxies` (addresses or networks)."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted: list[IPv4Network | IPv6Network] = [ip_network(proxy) for proxy in trusted_proxies]

    def of(self, request: web.Request) -> str:
        """Return the address of the client; of an IPv6 address, its /64 network.

        It is the peer's address, or, behind trusted proxies, the last address in X-Forwarded-For that is not a proxy's.
        """
        address = _unmap_ipv4(request.remote or "")
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        while forwarded and self._is_trusted(address):
            previous = forwarded.pop().strip()
            if not _is_address(previous):
                break
            address = _unmap_ipv4(previous)
        return _limit_key(address)

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _unmap_ipv4(address: str) -> str:
    """Turn `::ffff:192.0.2.1`, the name of an IPv4 peer on a dual-stack socket, into `192.0.2.1`."""
    parsed = ip_address(address) if _is_address(address) else None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return address if mapped is None else str(mapped)


def _limit_key(address: str) -> str:
    parsed = ip_address(address) if _is_address(address) else None  # a Unix socket has no IP address
    return str(ip_network((int(parsed), 64), strict=False)) if isinstance(parsed, IPv6Address) else address
