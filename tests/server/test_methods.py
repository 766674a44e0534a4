"""A path that is there, asked with a method that is not: 405 with Allow, not 404."""

from __future__ import annotations

import pytest

from tests.harness import Backend, gateway
from tests.server.kit import UNSET, ask, routing, trace

ROUTES = """
[[route]]
path = "/orders"
when = { method = ["POST"] }
to = "b"
[[route]]
path = "/orders"
when = { method = ["GET", "HEAD"] }
to = "b"
[[route]]
path = "/orders/{id}"
when = { method = ["DELETE"], header = { x-beta = "1" } }
to = "b"
[[route]]
path = "/orders/{id}"
host = "shop.example"
when = { method = ["PUT"] }
to = "b"
[[route]]
path = "/files/*"
encoded_slash = "decode"
when = { method = ["GET"] }
to = "b"
[[route]]
path = "/files/a/b"
when = { method = ["PATCH"] }
to = "b"
[[route]]
path = "/any"
when = { query = { v = "2" } }
to = "b"
"""

ROWS = [
    ("PUT", "/orders", [], 405, "GET, HEAD, POST"),
    ("OPTIONS", "/orders", [], 405, "GET, HEAD, POST"),
    ("get", "/orders", [], 405, "GET, HEAD, POST"),
    ("BREW", "/orders", [], 405, "GET, HEAD, POST"),
    ("HEAD", "/orders", [], 200, ""),
    # only what keeps a request away is the method
    ("GET", "/orders/1", [], 404, ""),
    ("GET", "/orders/1", ["X-Beta: 1"], 405, "DELETE"),
    ("GET", "/orders/1", ["X-Beta: 2"], 404, ""),
    ("GET", "/nowhere", [], 404, ""),
    ("GET", "/any?v=1", [], 404, ""),
    # HEAD is what a route says it is
    ("HEAD", "/files/x", [], 405, "GET"),
    ("POST", "/files/a%2Fb", [], 405, "GET"),
    ("POST", "/files/a/b", [], 405, "GET, PATCH"),
]


@pytest.mark.parametrize(("method", "path", "lines", "status", "allow"), ROWS)
async def test_the_methods_that_are_allowed(
    method: str, path: str, lines: list[str], status: int, allow: str
) -> None:
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, ROUTES)) as gate:
        client = await gate.connect()
        answer = await ask(client, method, path, *lines)
        assert (answer.status, answer["allow"]) == (status, allow)
        assert (await ask(client, "GET", "/orders")).status == 200  # the connection goes on
        await client.close()


async def test_a_wrong_method_is_no_error_of_the_server_and_of_no_route() -> None:
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, ROUTES)) as gate:
        client = await gate.connect()
        answer = await ask(client, "PUT", "/orders")
        assert answer["proxy-status"] == "spangate; error=http_request_error"
        seen = await trace(gate)
        assert seen.about["http.response.status_code"] == 405
        assert seen.server.status.code == UNSET
        assert "http.route" not in seen.about and "error.type" not in seen.about
        assert seen.server.name == "PUT"
        await client.close()
