"""A login in Chromium: over TLS, and over plain HTTP on a developer's machine."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.admin.ui.browser import needed, seen, visited
from tests.harness import Backend, Peer
from tests.server.kit import reply
from tests.server.oidc_kit import guarded, issuer

PATIENCE = 60.0
TLS = '[[listen]]\naddress = "127.0.0.1:8443"\ntls = { self_signed = true }\n'
PAGE = reply(200, b"<!doctype html><title>Shop</title><h1>Orders</h1>", "Content-Type: text/html")

pytestmark = needed(PATIENCE)


async def shop(peer: Peer) -> None:
    while True:
        await peer.head()
        peer.write(PAGE)


async def visit(scheme: str) -> dict[str, Any]:
    more = TLS if scheme == "https" else ""
    async with issuer() as at, Backend(shop) as backend, guarded(at, backend, more) as gate:
        site = f"{scheme}://localhost:{gate.port}"
        return {"site": site, **await visited("login.mjs", PATIENCE, site, at.url)}


@pytest.fixture(scope="module", params=["http", "https"])
def scenes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    scheme = str(request.param)
    return scheme, seen(tmp_path_factory, f"login_{scheme}", lambda: visit(scheme))


def names(found: dict[str, Any]) -> list[str]:
    return [name for name, *_ in found["cookies"]]


def test_login_and_reload(scenes: tuple[str, dict[str, Any]]) -> None:
    scheme, found = scenes
    login = found["login"]
    assert login["url"] == f"{found['site']}/orders?a=1"
    assert (login["shown"], login["fetch"]) == ("Orders", 200)
    is_safe = scheme == "https"
    name = "__Host-spangate" if is_safe else "spangate"
    assert login["cookies"] == [[name, is_safe, True, "Lax"]]
    assert login["script"] == "", "no script can read it"
    assert found["reload"] == {"url": login["url"], "shown": "Orders"}


def test_another_site_cannot_log_out(scenes: tuple[str, dict[str, Any]]) -> None:
    _, found = scenes
    assert found["another_site"]["shown"] == "Orders"
    assert names(found["another_site"]) == names(found["login"])


def test_logout_and_what_a_script_gets_then(scenes: tuple[str, dict[str, Any]]) -> None:
    _, found = scenes
    assert urlsplit(found["logout"]["url"]).path == "/end"
    assert names(found["logout"]) == []
    assert found["without"] == {"fetch": 401, "cookies": []}


def test_tabs_at_once(scenes: tuple[str, dict[str, Any]]) -> None:
    _, found = scenes
    assert found["tabs"]["urls"] == [f"/tab/{n}" for n in range(4)]
    assert names(found["tabs"]) == names(found["login"]), "no flow is left"
