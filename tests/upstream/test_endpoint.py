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
    assert parse_server(url)[1:] == (host, port)
    endpoint = Endpoint(url, 3, "shop")
    assert (endpoint.host, endpoint.port, endpoint.authority) == (host, port, authority)
    assert (endpoint.weight, endpoint.up, endpoint.url) == (3, True, url)


def test_the_state_shows() -> None:
    endpoint = Endpoint("http://a:1", upstream="users")
    endpoint.up = False
    assert repr(endpoint) == "<Endpoint users a:1: down>"
