"""Chromium fetches across origins, with cookies: what pages can read, and what browsers keep from
them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.server import access
from tests.admin.ui.browser import needed, seen, visited
from tests.harness import Backend, Peer, gateway
from tests.server.kit import refusing, reply, request, routing
from tests.server.test_gate import Obeys

PATIENCE = 60.0
pytestmark = needed(PATIENCE)

CHECK = """
[auth.a]
jwt = { issuer = "https://id.example", jwks = "https://id.example/jwks" }
"""
ROUTES = """
[[route]]
path = "/api"
to = "b"
cors = {{ {shop}, methods = ["PUT", "PATCH"], headers = ["x-a", "content-type"], expose = ["x-b"] }}
[[route]]
path = "/doubled"
to = "b"
cors = {{ {shop} }}
[[route]]
path = "/plain/*"
to = "b"
[[route]]
path = "/guarded"
to = "b"
auth = "a"
cors = {{ {shop}, headers = "x-say" }}
[[route]]
path = "/denied"
to = "b"
deny = ["127.0.0.0/8"]
cors = {{ {shop} }}
[[route]]
path = "/down"
to = "down"
cors = {{ {shop} }}
[[route]]
path = "/all"
to = "b"
cors = {{ {shop}, methods = "*", headers = "*" }}
[[route]]
path = "/public"
to = "b"
cors = {{ origins = "*", methods = "*", headers = "*", expose = "*" }}
"""


async def page(peer: Peer) -> None:
    while True:
        await peer.head()
        lines = ("Content-Type: text/html", "Set-Cookie: basket=7; Path=/")
        peer.write(reply(200, b"<title>a page</title>", *lines))


async def api(peer: Peer) -> None:
    """Says which cookie came; by some paths with lines of CORS of its own, twice."""
    while True:
        head, _ = await request(peer)
        cookie = b"basket" if b"basket=7" in head else b"none"
        lines = ["X-B: shown", "X-C: hidden"]
        if b"doubled" in head.partition(b"\r\n")[0]:
            lines += [
                "Access-Control-Allow-Origin: *",
                "Access-Control-Allow-Credentials: true",
            ] * 2
        peer.write(reply(200, head.split(b" ", 1)[0] + b" " + cookie, *lines))


async def visit() -> dict[str, Any]:
    patch = pytest.MonkeyPatch()
    patch.setattr(access, "make", lambda name, said, made: Obeys(name))
    async with Backend(page) as shop, Backend(page) as stranger, Backend(api) as backend:
        with refusing() as down:
            said = f'origins = ["{shop.url}"], credentials = true, max_age = "1m"'
            routes = CHECK + ROUTES.format(shop=said)
            upstreams = {"b": [backend.url], "down": [down]}
            async with gateway(routing(upstreams, routes)) as gate:
                url = f"http://127.0.0.1:{gate.port}"
                found = await visited("cors.mjs", PATIENCE, shop.url, stranger.url, url)
    patch.undo()
    found["asked"] = [
        head.removeprefix(b"{}").split(b" HTTP")[0].decode() for head in backend.heads
    ]
    return found


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return seen(tmp_path_factory, "cors", visit)


@pytest.mark.parametrize(
    ("scene", "body"),
    [
        ("simple", "get basket"),
        ("preflighted", "put basket"),
        ("again", "put basket"),
        ("doubled", "get basket"),
        ("guarded", "get basket"),
        ("literal", "purge basket"),
        ("public", "purge none"),
    ],
)
def test_what_a_page_can_read(scenes: dict[str, Any], scene: str, body: str) -> None:
    assert (scenes[scene].get("status"), scenes[scene].get("body", "").lower()) == (200, body)


def test_fields_are_read_where_they_are_exposed(scenes: dict[str, Any]) -> None:
    assert (scenes["simple"]["shown"], scenes["simple"]["hidden"]) == ("shown", None)
    assert (scenes["public"]["shown"], scenes["public"]["hidden"]) == ("shown", "hidden")


@pytest.mark.parametrize(
    ("scene", "status"), [("unauthenticated", 401), ("denied", 403), ("down", 503)]
)
def test_errors_of_the_gateway_can_be_read(scenes: dict[str, Any], scene: str, status: int) -> None:
    assert scenes[scene]["status"] == status


@pytest.mark.parametrize(
    "scene",
    [
        "method", "lower", "header", "bearer", "stranger", "stranger_put", "public_bearer",
        "public_with", "doubled_there",
    ],
)  # fmt: skip
def test_what_no_page_can_read(scenes: dict[str, Any], scene: str) -> None:
    assert scenes[scene] == {"refused": "TypeError"}


def test_what_was_refused_by_a_preflight_never_came(scenes: dict[str, Any]) -> None:
    asked = scenes["asked"]
    assert not [line for line in asked if line.split()[0] in ("DELETE", "patch", "OPTIONS")]
    assert asked.count("PUT /api") == 2
    assert asked.count("GET /api") == 2  # the stranger's simple one comes, and cannot be read
