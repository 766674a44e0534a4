"""Who may change something by the admin port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from proxy.admin.app import Admin
from proxy.config.model import Admin as Settings
from proxy.hub.sockets import listen_once
from tests.admin.test_app import Gateway

DRAIN = f"/upstreams/u/{quote('http://10.0.0.1:8000', safe='')}/drain"
TOKEN = {"Authorization": "Bearer s3cret"}


class Hand:
    """Keeps what it was asked for; knows one upstream."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, bool]] = []

    def drain(self, upstream: str, endpoint: str, drained: bool) -> str:
        if upstream != "u":
            raise LookupError(f"there is no upstream {upstream!r}")
        self.done.append((upstream, endpoint, drained))
        return "done"

    async def reload(self) -> tuple[int, Mapping[str, Any]]:
        self.done.append(("", "", True))
        return 200, {"generation": 2}


class Port:
    """An admin port, and what it was asked to change."""

    def __init__(self, session: aiohttp.ClientSession, hand: Hand, url: str) -> None:
        self.hand = hand
        self.url = url
        self._session = session

    async def ask(
        self, path: str = DRAIN, method: str = "POST", **headers: str
    ) -> tuple[int, str, str]:
        """(status, body, WWW-Authenticate)."""
        async with self._session.request(method, self.url + path, headers=headers) as response:
            return (
                response.status,
                await response.text(),
                response.headers.get("WWW-Authenticate", ""),
            )


@asynccontextmanager
async def opened(token: str, place: str = "127.0.0.1:0") -> AsyncIterator[Port]:
    hand = Hand()
    admin = Admin(Gateway(), "127.0.0.1", hand=hand)
    admin.configure(Settings(token=token))
    sock = listen_once(place, "admin.listen")
    await admin.start(sock)
    unix = place.removeprefix("unix:") if place.startswith("unix:") else ""
    connector = aiohttp.UnixConnector(unix) if unix else None
    url = "http://localhost" if unix else f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Port(session, hand, url)
    await admin.stop()


@pytest.fixture
async def guarded() -> AsyncIterator[Port]:
    async with opened("s3cret") as port:
        yield port


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer s3cre"},
        {"Authorization": "Bearer s3cret2"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic s3cret"},
        {"Authorization": "s3cret"},
        {"Authorization": "Bearer \u00fc"},
    ],
)
async def test_without_the_token_nothing_changes(guarded: Port, headers: dict[str, str]) -> None:
    status, _, wanted = await guarded.ask(**headers)
    assert (status, wanted) == (401, 'Bearer realm="spangate"')
    assert guarded.hand.done == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Bearer "])
async def test_with_it_an_endpoint_is_drained(guarded: Port, scheme: str) -> None:
    assert (await guarded.ask(Authorization=f"{scheme} s3cret"))[:2] == (200, "done\n")
    await guarded.ask("/upstreams/u/10.0.0.1:8000/undrain", **TOKEN)
    assert guarded.hand.done == [("u", "http://10.0.0.1:8000", True), ("u", "10.0.0.1:8000", False)]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/upstreams/nobody/a:1/drain", "POST", 404),
        ("/upstreams/u/a:1/melt", "POST", 404),
        ("/upstreams/u/http://10.0.0.1:8000/drain", "POST", 404),
        ("/upstreams/u", "POST", 404),
        ("/upstreams/", "POST", 404),
        (DRAIN, "GET", 405),
        (DRAIN, "PUT", 405),
        ("/upstreams", "POST", 405),
        ("/upstreams", "GET", 200),
    ],
)
async def test_what_is_no_change(guarded: Port, path: str, method: str, status: int) -> None:
    assert (await guarded.ask(path, method, **TOKEN))[0] == status
    assert guarded.hand.done == []


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", ""])
async def test_other_pages_change_nothing(guarded: Port, origin: str) -> None:
    assert (await guarded.ask(**TOKEN, Origin=origin))[0] == 403
    assert (await guarded.ask(**TOKEN, Host="evil.example"))[0] == 403
    assert guarded.hand.done == []


async def test_its_own_pages_do(guarded: Port) -> None:
    assert (await guarded.ask(**TOKEN, Origin=guarded.url))[0] == 200


async def test_a_port_without_a_token_takes_no_changes() -> None:
    async with opened("") as port:
        status, said, _ = await port.ask(Authorization="Bearer ")
        assert status == 403
        assert "write `token` in [admin], or listen on a Unix socket" in said
        assert port.hand.done == []


async def test_a_unix_socket_says_itself_who_may(tmp_path: Path) -> None:
    async with opened("", f"unix:{tmp_path}/admin") as port:
        assert (await port.ask())[0] == 200
    async with opened("s3cret", f"unix:{tmp_path}/admin2") as port:
        assert (await port.ask())[0] == 401
        assert (await port.ask(**TOKEN))[0] == 200


async def test_a_reload_is_guarded_likewise(guarded: Port) -> None:
    assert (await guarded.ask("/reload"))[0] == 401
    assert (await guarded.ask("/reload", "GET", **TOKEN))[0] == 405
    assert (await guarded.ask("/reload/", **TOKEN))[0] == 404
    assert (await guarded.ask("/reload", **TOKEN, Origin="http://evil.example"))[0] == 403
    assert guarded.hand.done == []
    status, said, _ = await guarded.ask("/reload", **TOKEN)
    assert (status, '"generation": 2' in said) == (200, True)
