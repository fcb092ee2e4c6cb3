"""Which address a request counts for."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from server.http.address import ClientAddress

PROXIES = ["10.0.0.0/8", "192.0.2.1", "2001:db8:ffff::/48"]


def of(peer: str, *forwarded: str, proxies: list[str] = PROXIES) -> str:
    request = make_mocked_request("GET", "/", [("X-Forwarded-For", line) for line in forwarded])
    return ClientAddress(proxies).of(request.clone(remote=peer))


@pytest.mark.parametrize("peer", ["203.0.113.5", "127.0.0.1", "192.0.2.2", "11.0.0.1"])
def test_a_stranger_is_not_believed(peer: str) -> None:
    assert of(peer, "198.51.100.1") == peer
    assert of(peer, "10.0.0.1", "198.51.100.1") == peer


def test_without_proxies_nobody_is_believed() -> None:
    assert of("10.0.0.1", "198.51.100.1", proxies=[]) == "10.0.0.1"


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
def test_a_trusted_proxy_vouches_for_the_last_it_did_not_know(forwarded: list[str], address: str) -> None:
    assert of("10.0.0.1", *forwarded) == address


def test_ipv6_counts_by_its_network() -> None:
    assert of("2001:db8:1:2:3:4:5:6") == of("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert of("2001:db8:1:3::9") != of("2001:db8:1:2::9")
    assert of("2001:db8:ffff::1", "2001:db8:5:6:7::8") == "2001:db8:5:6::/64"
    assert of("fe80::1%eth0") == "fe80::/64"


def test_an_ipv4_peer_of_a_socket_for_both_is_an_ipv4_peer() -> None:
    assert of("::ffff:203.0.113.5") == "203.0.113.5"
    assert of("::ffff:10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert of("10.0.0.1", "198.51.100.1, ::ffff:10.0.0.2") == "198.51.100.1"
    assert of("10.0.0.1", "::ffff:198.51.100.1") == "198.51.100.1"


def test_a_unix_socket_has_no_address() -> None:
    assert of("") == ""
