"""The address that rate limits use for a request."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from server.http.address import ClientAddress

PROXIES = ["10.0.0.0/8", "192.0.2.1", "2001:db8:ffff::/48"]


def address_of(peer: str, *forwarded: str, proxies: list[str] = PROXIES) -> str:
    request = make_mocked_request("GET", "/", [("X-Forwarded-For", line) for line in forwarded])
    return ClientAddress(proxies).of(request.clone(remote=peer))


@pytest.mark.parametrize("peer", ["203.0.113.5", "127.0.0.1", "192.0.2.2", "11.0.0.1"])
def test_x_forwarded_for_of_an_untrusted_peer_is_ignored(peer: str) -> None:
    assert address_of(peer, "198.51.100.1") == peer
    assert address_of(peer, "10.0.0.1", "198.51.100.1") == peer


def test_without_trusted_proxies_x_forwarded_for_is_ignored() -> None:
    assert address_of("10.0.0.1", "198.51.100.1", proxies=[]) == "10.0.0.1"


@pytest.mark.parametrize(
    "forwarded, address",
    [
        ([], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["198.51.100.1"], "198.51.100.1"),
        (["  198.51.100.1  "], "198.51.100.1"),
        (["203.0.113.66, 198.51.100.1"], "198.51.100.1"),
        (["203.0.113.66", "198.51.100.1"], "198.51.100.1"),
        (["203.0.113.66, 198.51.100.1, 10.1.1.1, 192.0.2.1"], "198.51.100.1"),
        (["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        (["198.51.100.1, unknown"], "10.0.0.1"),
        (["198.51.100.1, unknown, 10.1.1.1"], "10.1.1.1"),
        (["198.51.100.1:443"], "10.0.0.1"),
        (["１９８.51.100.1"], "10.0.0.1"),
        (["198.51.100.1,"], "10.0.0.1"),
        (["0x7f.1"], "10.0.0.1"),
        (["198.51.100.1\x00"], "10.0.0.1"),
        (["," * 5000], "10.0.0.1"),
    ],
)
def test_behind_trusted_proxies_the_last_untrusted_address_counts(forwarded: list[str], address: str) -> None:
    assert address_of("10.0.0.1", *forwarded) == address


def test_an_ipv6_address_counts_as_its_64_network() -> None:
    assert address_of("2001:db8:1:2:3:4:5:6") == address_of("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert address_of("2001:db8:1:3::9") != address_of("2001:db8:1:2::9")
    assert address_of("2001:db8:ffff::1", "2001:db8:5:6:7::8") == "2001:db8:5:6::/64"
    assert address_of("fe80::1%eth0") == "fe80::/64"


def test_an_ipv4_peer_of_a_dual_stack_socket_counts_as_ipv4() -> None:
    assert address_of("::ffff:203.0.113.5") == "203.0.113.5"
    assert address_of("::ffff:10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert address_of("10.0.0.1", "198.51.100.1, ::ffff:10.0.0.2") == "198.51.100.1"
    assert address_of("10.0.0.1", "::ffff:198.51.100.1") == "198.51.100.1"


def test_a_unix_socket_has_no_address() -> None:
    assert address_of("") == ""
