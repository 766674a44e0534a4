"""The demo in a real browser: an event stream and a WebSocket on one page, and their spans."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.demo.test_demo import Demo, close
from tests.otlp.fake_collector import FakeCollector
from tests.server.kit import SERVER, attributes

VISITOR = Path(__file__).parents[1] / "peers" / "browser"
CHROMIUM = shutil.which("chromium")
PATIENCE = 90.0  # seconds; a browser is slow to start beside other tests

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or shutil.which("node") is None or not (VISITOR / "node_modules").is_dir(),
    reason="needs chromium, node, and `npm ci` in tests/peers/browser",
)


# By scheme: what the page's own navigation went by, and the WebSocket's status there.
PROTOCOLS = {"http": ("http/1.1", "1.1", 101), "https": ("h2", "2", 200)}  # RFC 8441 §4


@pytest.mark.parametrize("scheme", PROTOCOLS)
async def test_a_browser_sees_everything_on_the_page(scheme: str) -> None:
    hop, version, switched = PROTOCOLS[scheme]
    async with FakeCollector() as collector, running(collector.endpoint) as demo:
        url = (await wait_for(demo, rf"({scheme}://localhost:\d+)"))[1]
        await wait_for(demo, "Ctrl-C ends everything")
        seen = json.loads(await asyncio.to_thread(visit, f"{url}/shop/"))
        assert seen["problems"] == []
        assert (seen["protocol"], seen["hop"]) == (hop, hop)
        assert seen["event"].startswith("order ")
        await collector.wait_items("traces", 6)
        spans = servers(collector)
    assert {path: about["http.response.status_code"] for path, about in spans.items()} == {
        "/shop/": 200,
        "/shop/events": 200,
        "/shop/talk": switched,
    }
    for about in spans.values():
        assert (about["url.scheme"], about["network.protocol.version"]) == (scheme, version)
        assert about.get("tls.next_protocol") == ("h2" if scheme == "https" else None)
        assert "error.type" not in about
    talk = spans["/shop/talk"]
    assert (talk["spangate.tunnel.end"], talk["websocket.close_code"]) == ("client", 1000)
    assert (talk["spangate.tunnel.messages_in"], talk["spangate.tunnel.messages_out"]) == (2, 2)
    ports = {about["network.peer.port"] for about in spans.values()}
    assert (len(ports) == 1) is (scheme == "https")  # all of it in streams of one connection


@contextlib.asynccontextmanager
async def running(collector: str) -> AsyncIterator[Demo]:
    """A demo that sends its telemetry to `collector` too."""
    demo = Demo(OTEL_EXPORTER_OTLP_ENDPOINT=collector, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
    try:
        yield demo
    finally:
        await asyncio.to_thread(close, demo)


async def wait_for(demo: Demo, pattern: str) -> re.Match[str]:
    return await asyncio.to_thread(demo.wait_for, pattern)


def servers(collector: FakeCollector) -> dict[str, dict[str, Any]]:
    """The attributes of every SERVER span, by its path."""
    found = {}
    for payload in collector.accepted["traces"]:
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans:
            for span in (s for scope in resource.scope_spans for s in scope.spans):
                if span.kind == SERVER:
                    about = attributes(span)
                    found[about["url.path"]] = about
    return found


def visit(url: str) -> str:
    """What the visitor prints of that page."""
    command = ["node", str(VISITOR / "visit.mjs"), str(CHROMIUM), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
