"""Who sees the pages and their data, and how they are sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from yarl import URL

from proxy.admin.app import Admin
from proxy.config.model import Admin as Settings
from proxy.hub.sockets import listen_once
from tests.admin.test_app import Gateway

TOKEN = {"Authorization": "Bearer s3cret"}
DATA = (
    "/api/traces", "/api/info", "/api/tap", "/api/rates", "/jaeger/api/services",
    "/zipkin/api/v2/services", "/tempo/api/echo",
)  # fmt: skip


class View(Gateway):
    """Answers with what it was asked; tells whoever watches one request, and that 3 are missed."""

    def __init__(self) -> None:
        super().__init__()
        self.watching = 0

    def info(self) -> Mapping[str, Any]:
        return {"service": "gate"}

    async def rates(self, points: int) -> Mapping[str, Any]:
        return {"points": points}

    async def ask(self, target: str, accept: str) -> tuple[int, str, bytes]:
        return 200, "application/json", json.dumps([target, accept]).encode()

    async def tap(
        self, query: str, tell: Callable[[Sequence[str], int], None]
    ) -> Callable[[], None]:
        if query == "bad":
            raise ValueError("bad is not understood")
        self.watching += 1
        tell(['{"path":"/"}'], 3)

        def end() -> None:
            self.watching -= 1

        return end


class Port:
    def __init__(self, session: aiohttp.ClientSession, view: View, url: str) -> None:
        self.session = session
        self.view = view
        self.url = url

    async def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept-Encoding": "identity", **headers}
        url = URL(self.url + path, encoded=True)
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False
        ) as response:
            if response.headers.get("Content-Type") == "text/event-stream":
                return response.status, response.headers, await response.content.readany()
            return response.status, response.headers, await response.read()


@asynccontextmanager
async def opened(
    token: str = "", ui: bool | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Port]:
    view = View()
    admin = Admin(view, host)
    admin.configure(Settings(token=token, ui=ui))
    sock = listen_once("127.0.0.1:0", "admin.listen")
    await admin.start(sock)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Port(session, view, f"http://127.0.0.1:{sock.getsockname()[1]}")
    await admin.stop()


@pytest.mark.parametrize(
    ("host", "token", "ui", "there"),
    [
        ("127.0.0.1", "", None, True),
        ("localhost", "", None, True),  # a Unix socket too
        ("::1", "", None, True),
        ("0.0.0.0", "", None, False),
        ("", "", None, False),
        ("10.0.0.1", "", None, False),
        ("10.0.0.1", "s3cret", None, True),
        ("10.0.0.1", "", True, True),
        ("127.0.0.1", "", False, False),
        ("127.0.0.1", "s3cret", False, False),
    ],
)
async def test_where_there_are_pages(host: str, token: str, ui: bool | None, there: bool) -> None:
    async with opened(token, ui, host) as port:
        shown = {path: (await port.ask(path, **TOKEN))[0] for path in ("/ui/", *DATA)}
        assert set(shown.values()) == {200 if there else 404}, shown
        assert (await port.ask("/live"))[0] == 200


async def test_with_a_token_the_data_needs_it_and_the_files_do_not() -> None:
    async with opened("s3cret") as port:
        for path in DATA:
            status, headers, _ = await port.ask(path)
            assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="spangate"'), path
            assert (await port.ask(path, Authorization="Bearer wrong"))[0] == 401
            assert (await port.ask(path, **TOKEN))[0] == 200
        for path in ("/ui/", "/ui/app.js", "/live", "/ready", "/metrics"):
            assert (await port.ask(path))[0] == 200, path


@pytest.mark.parametrize("path", DATA)
async def test_pages_of_others_see_nothing(path: str) -> None:
    async with opened() as port:
        assert (await port.ask(path, Origin="http://evil.example"))[0] == 403
        assert (await port.ask(path, Host="evil.example"))[0] == 403
        assert (await port.ask(path, Origin=port.url))[0] == 200


@pytest.mark.parametrize("path", ["/ui/", "/api/traces", "/jaeger/api/traces", "/zipkin/x"])
async def test_nothing_is_changed_there(path: str) -> None:
    async with opened() as port:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            status, headers, _ = await port.ask(path, method)
            assert (status, headers["Allow"]) == (405, "GET,HEAD")


@pytest.mark.parametrize("path", ["/uix/", "/apis", "/jaegers/api", "/ap", "/api2/traces"])
async def test_what_only_begins_like_them_is_not_there(path: str) -> None:
    async with opened() as port:
        assert (await port.ask(path))[0] == 404


async def test_questions_are_passed_on_as_they_are() -> None:
    async with opened() as port:
        _, _, body = await port.ask("/api/traces?q=a%20b&limit=2", Accept="application/protobuf")
        assert json.loads(body) == ["/api/traces?q=a%20b&limit=2", "application/protobuf"]


async def test_files_are_guarded_compressed_and_asked_for_by_their_etag() -> None:
    async with opened() as port:
        status, headers, body = await port.ask("/ui/")
        assert status == 200 and b"<html" in body
        policy = headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        packed = await port.ask("/ui/app.js", **{"Accept-Encoding": "gzip"})
        assert packed[1]["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed[2]) == (await port.ask("/ui/app.js"))[2]
        again = await port.ask("/ui/app.js", **{"If-None-Match": packed[1]["ETag"]})
        assert (again[0], again[2]) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/trace/0123456789abcdef0123456789abcdef", 200),
        ("/ui/map", 200),
        ("/ui/no.js", 404),
        ("/ui/../app.py", 404),
        ("/ui/%2e%2e/app.py", 404),
        ("/ui/..%2fapp.py", 404),
        ("/ui", 308),
    ],
)
async def test_a_page_of_the_application_is_its_index(path: str, status: int) -> None:
    async with opened() as port:
        answered, headers, body = await port.ask(path)
        assert answered == status
        assert (b"<html" in body) == (status == 200)
        if status == 308:
            assert headers["Location"] == "/ui/"


async def test_who_watches_is_told_and_forgotten_when_he_leaves() -> None:
    async with opened() as port:
        status, _, body = await port.ask("/api/tap?bad")
        assert (status, json.loads(body)) == (400, {"error": "bad is not understood"})
        async with port.session.get(f"{port.url}/api/tap") as response:
            told = b""
            while b'"path"' not in told:
                told += await response.content.readany()
            assert b'event: dropped\ndata: {"count":3}\n\n' in told
            assert b'event: request\nid: 1\ndata: {"path":"/"}\n\n' in told
            assert port.view.watching == 1
            response.close()
        async with port.session.get(f"{port.url}/api/tap") as response:
            await response.content.readany()


async def test_a_head_of_the_tap_is_answered_and_nobody_watches() -> None:
    async with opened() as port:
        status, headers, body = await port.ask("/api/tap", "HEAD")
        assert (status, headers["Content-Type"], body) == (200, "text/event-stream", b"")
        assert port.view.watching == 0
