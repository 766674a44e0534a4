"""The admin port over HTTP, in front of a small made-up gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.admin.app import Admin
from proxy.admin.site import PAGES
from proxy.hub.sockets import listen_once
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Series

REFRESHED = Instrument("refreshed", Kind.COUNTER, "", "How often refresh was called.")


class Gateway:
    """Implements View."""

    def __init__(self) -> None:
        self.reason = ""
        self.refreshed = 0

    def unready(self) -> str:
        return self.reason

    async def refresh(self) -> None:
        self.refreshed += 1

    def series(self) -> Iterator[Series]:
        yield Series(REFRESHED, (), self.refreshed)

    def config(self) -> Mapping[str, Any]:
        return {"route": "</script>\x1b[31m"}

    def losses(self) -> list[dict[str, Any]]:
        return [{"exporter": "o", "signal": "traces", "reason": "queue_full", "items": 3}]

    def configuration(self) -> Mapping[str, Any]:
        return {"generation": 1, "history": [], "settings": {}}

    async def rates(self, points: int) -> Mapping[str, Any]:
        return {"points": points}

    async def routes(self) -> Mapping[str, Any]:
        return {"routes": []}

    async def explain(self, method: str, url: str, headers: Sequence[str]) -> Mapping[str, Any]:
        if method == "CONNECT":
            raise LookupError("a collector has no routes")
        return {"taken": True, "lines": [method, url, *headers]}

    def pipelines(self) -> Mapping[str, Any]:
        return {"balanced": True}

    def redirected(self) -> Mapping[str, Any]:
        return {"mesh": True, "redirect": "ebpf", "outbound": ":15001"}

    def mesh(self) -> Mapping[str, Any]:
        return {"mesh": False}

    def upstreams(self) -> Mapping[str, Any]:
        return {"u": {}}

    def stats(self) -> Mapping[str, Any]:
        return {"refreshed": self.refreshed}


class Client:
    def __init__(self, session: aiohttp.ClientSession, view: Gateway, url: str) -> None:
        self.view = view
        self._session = session
        self._url = url

    async def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        async with self._session.request(method, self._url + path, headers=headers) as response:
            return response.status, response.headers, await response.read()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    view = Gateway()
    admin = Admin(view, "127.0.0.1")
    sock = listen_once("127.0.0.1:0", "admin.listen")
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    await admin.start(sock)
    async with aiohttp.ClientSession() as session:
        yield Client(session, view, url)
    await admin.stop()


async def test_live(client: Client) -> None:
    client.view.reason = "stopping"
    assert (await client.ask("/live"))[::2] == (200, b"live\n")


@pytest.mark.parametrize(
    ("reason", "status", "body"),
    [("", 200, b"ready\n"), ("no worker is ready", 503, b"not ready: no worker is ready\n")],
)
async def test_ready(client: Client, reason: str, status: int, body: bytes) -> None:
    client.view.reason = reason
    assert (await client.ask("/ready"))[::2] == (status, body)


async def test_metrics_are_fresh_and_compressed_when_asked(client: Client) -> None:
    status, headers, body = await client.ask("/metrics", **{"Accept-Encoding": "gzip"})
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"refreshed_total 1.0\n" in body


async def test_openmetrics_by_accept(client: Client) -> None:
    _, headers, body = await client.ask("/metrics", Accept="application/openmetrics-text")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


async def test_json_is_escaped_and_fresh(client: Client) -> None:
    _, headers, body = await client.ask("/config")
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert b"\x1b" not in body
    assert json.loads(body) == {"route": "</script>\x1b[31m"}
    assert json.loads((await client.ask("/stats"))[2]) == {"refreshed": 1}


async def test_the_index_names_every_page(client: Client) -> None:
    status, headers, body = await client.ask("/")
    assert status == 200
    assert all(f'href="{path}"'.encode() in body for path in PAGES)
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", *PAGES])
async def test_nothing_but_get_and_head(client: Client, path: str, method: str) -> None:
    status, headers, _ = await client.ask(path, method)
    assert (status, headers["Allow"]) == (405, "GET,HEAD")


async def test_head(client: Client) -> None:
    status, headers, body = await client.ask("/metrics", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/live/", "/metrics/x", "/nothing", "/config%0a"])
async def test_paths_are_exact(client: Client, path: str) -> None:
    assert (await client.ask(path))[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9901"])
async def test_strange_hosts_see_nothing(client: Client, host: str) -> None:
    status, headers, body = await client.ask("/config", Host=host)
    assert (status, headers["X-Content-Type-Options"]) == (403, "nosniff")
    assert b"route" not in body


def test_every_page_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    for page in PAGES:
        assert f"| `{page}` |" in text
