"""Server URLs become addresses, or say why not."""

from __future__ import annotations

import pytest

from proxy.config.syntax import parse_server
from proxy.upstream.endpoint import Endpoint


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://10.0.0.1:8000", "10.0.0.1", 8000, "10.0.0.1:8000"),
        ("http://Shop.Internal", "shop.internal", 80, "shop.internal"),
        ("http://shop.internal:80/", "shop.internal", 80, "shop.internal"),
        ("http://[::1]:9000", "::1", 9000, "[::1]:9000"),
        ("http://[fe80::1]", "fe80::1", 80, "[fe80::1]"),
    ],
)
def test_servers(url: str, host: str, port: int, authority: str) -> None:
    assert parse_server(url) == ("http", host, port)
    endpoint = Endpoint(url, 3, "shop")
    assert (endpoint.host, endpoint.port, endpoint.authority) == (host, port, authority)
    assert (endpoint.weight, endpoint.up, endpoint.url) == (3, True, url)


@pytest.mark.parametrize(
    ("url", "server", "authority"),
    [
        ("https://shop.internal", ("https", "shop.internal", 443), "shop.internal"),
        ("https://shop.internal:80", ("https", "shop.internal", 80), "shop.internal:80"),
        ("unix:/run/shop.sock", ("unix", "/run/shop.sock", 0), "unix:/run/shop.sock"),
        ("tcp://10.0.0.1:5432", ("tcp", "10.0.0.1", 5432), "10.0.0.1:5432"),
    ],
)
def test_other_ways(url: str, server: tuple[str, str, int], authority: str) -> None:
    assert parse_server(url) == server
    endpoint = Endpoint(url)
    assert (endpoint.scheme, endpoint.host, endpoint.port, endpoint.authority) == (
        *server,
        authority,
    )


def test_the_state_shows() -> None:
    endpoint = Endpoint("http://a:1", upstream="users")
    endpoint.up = False
    assert repr(endpoint) == "<Endpoint users a:1: down>"
