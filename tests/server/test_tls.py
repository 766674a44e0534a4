"""Listeners with TLS: who is served how, who is refused why, and what is told of it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness import Backend, Gateway, Peer, gateway, routes
from tests.server.tls_kit import (
    connect,
    listening,
    trusting,
)

GET = b"GET /x HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


def attributes(span: Span) -> dict[str, Any]:
    found = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind)
    return found


async def counted(gw: Gateway, name: str) -> dict[tuple[tuple[str, Any], ...], int]:
    await gw.recorded.collect()
    return {
        labels: value
        for (instrument, labels), value in gw.recorded.totals.numbers().items()
        if instrument == name
    }


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_request_and_its_span(tmp_path: Path, newest: ssl.TLSVersion) -> None:
    async with Backend() as backend, gateway(routes(backend, listening(tmp_path))) as gw:
        context = trusting()
        context.maximum_version = newest
        context.set_alpn_protocols(["http/1.1"])
        client = await connect(gw, context)
        for _ in range(2):
            client.write(GET)
            assert (await client.answer()).body == b"ok"
        spans = await gw.spans(4)
        assert backend.field("x-forwarded-proto") == "https"
        said = attributes(next(s for s in spans if s.kind == Span.SPAN_KIND_SERVER))
        assert said["url.scheme"] == "https"
        assert said["tls.protocol.version"] == newest.name[-3:].replace("_", ".")
        assert said["tls.cipher"].startswith("TLS_")
        assert said["tls.next_protocol"] == "http/1.1"
        assert said["tls.resumed"] is False
        assert "tls.client.subject" not in said


async def test_much_both_ways(tmp_path: Path) -> None:
    async def echo(peer: Peer) -> None:
        await peer.head()
        body = await peer.body(5_000_000)
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + body)

    body = bytes(range(250)) * 20_000
    async with Backend(echo) as backend, gateway(routes(backend, listening(tmp_path))) as gw:
        client = await connect(gw)
        head = b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 5000000\r\n\r\n"
        client.write(head + body)
        assert (await client.answer()).body == body


async def test_a_client_that_does_not_read_holds_back_the_upstream(tmp_path: Path) -> None:
    sent = 0

    async def pour(peer: Peer) -> None:
        nonlocal sent
        await peer.head()
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            peer.write(bytes(100_000))
            await peer.writer.drain()
            sent += 100_000

    async with Backend(pour) as backend, gateway(routes(backend, listening(tmp_path))) as gw:
        client = await connect(gw)
        client.reader._limit = 1000  # type: ignore[attr-defined]
        client.write(GET)
        await client.head()
        before = -1
        while sent != before or sent == 0:
            before = sent
            await asyncio.sleep(0.2)
        assert 0 < sent < 60_000_000
        client.vanish()
