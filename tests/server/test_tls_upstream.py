"""Servers at https://: who is believed to be them, and what a failed handshake becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness import Backend, gateway
from tests.server.tls_kit import leaf, secured, write_ca


def attributes(span: Span) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes
    }


def config(url: str, tls: str = "", more: str = "") -> str:
    return f"""
[export]
otlp = "http://127.0.0.1:1"
[[route]]
path = "/*"
to = "b"
{more}
[upstream.b]
servers = ["{url}"]
tls = {{ {tls} }}
"""


async def test_a_server_that_is_who_it_should_be(tmp_path: Path) -> None:
    ca = write_ca(tmp_path)
    async with (
        Backend() as backend,
        secured(backend, leaf("127.0.0.1")) as url,
        gateway(config(url, f'ca = "{ca}"')) as gw,
    ):
        for _ in range(3):
            assert (await gw.get("/")).body == b"ok"
        spans = await gw.spans(6)
        said = attributes(next(s for s in spans if s.kind == Span.SPAN_KIND_CLIENT))
        assert said["url.full"].startswith("https://127.0.0.1:")
        assert said["tls.protocol.version"] == "1.3"
        assert len(backend.peers) == 1
