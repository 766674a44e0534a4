"""Server URLs become addresses, or say why not."""

from __future__ import annotations

import pytest

from proxy.upstream.endpoint import Endpoint, parse_server


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
    assert parse_server(url) == (host, port)
    endpoint = Endpoint(url, 3, "shop")
    assert (endpoint.host, endpoint.port, endpoint.authority) == (host, port, authority)
    assert (endpoint.weight, endpoint.up, endpoint.url) == (3, True, url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://shop", "write http://"),
        ("shop:80", "write http://"),
        ("http://", "write http://"),
        ("http://:80", "write http://"),
        ("http://shop:0", "write http://"),
        ("http://a b", "write http://"),
        ("http://shop:99999", "not a server"),
        ("http://shop:x", "not a server"),
        ("http://[::1", "not a server"),
        ("http://u:p@shop", "no user"),
        ("http://shop/api", "no path"),
        ("http://shop?x", "no path"),
    ],
)
def test_what_is_no_server_says_why(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_server(url)


def test_the_state_shows() -> None:
    endpoint = Endpoint("http://a:1", upstream="users")
    endpoint.up = False
    assert repr(endpoint) == "<Endpoint users a:1: down>"
