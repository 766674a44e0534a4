"""A caller that leaves before its answer has begun, as both sidecars on its way tell it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.http.h2 import CANCEL
from tests.harness import DEADLINE, Backend
from tests.server.h2_backend import H2Backend, Stream
from tests.server.h2_kit import H2Client
from tests.server.kit import CLIENT, SERVER, UNSET, Gate, attributes, eventually, is_settled
from tests.server.sidecar_kit import Sidecar, sidecar

WAITS = '[limits]\nhalf_closed = "10m"\n'  # who shuts its end is waited with
TELLING = ("spangate.client_gone", "error.type", "http.response.status_code")


@contextlib.asynccontextmanager
async def two(
    app: int, protocol: str = "", waits: str = WAITS
) -> AsyncIterator[tuple[Sidecar, Sidecar]]:
    """The caller's sidecar, which `waits` so, and that of the application."""
    async with sidecar(app, WAITS) as theirs:
        more = f'{waits}[upstream.orders]\nservers = ["http://127.0.0.1:{theirs.inbound}"]\n'
        async with sidecar(app, more + protocol) as ours:
            yield ours, theirs


def said(span: Span) -> tuple[int, dict[str, object]]:
    """Its kind, and how it says that it has ended."""
    assert span.status.code == UNSET
    about = attributes(span)
    return span.kind, {key: about[key] for key in TELLING if key in about}


async def check(ours: Sidecar, theirs: Sidecar) -> None:
    gone = {"spangate.client_gone": True}
    assert [said(span) for span in await ours.spans(1)] == [(CLIENT, gone)]
    told = sorted(map(said, await theirs.spans(2)), key=lambda s: s[0])
    assert told == [(SERVER, gone), (CLIENT, gone)]
    for side in (ours, theirs):
        await eventually(lambda side=side: is_settled(side.gate))  # type: ignore[misc]


async def test_a_reset_reaches_the_application() -> None:
    handler = Gate(b"", b"")
    async with Backend(handler) as app, two(app.port) as (ours, theirs):
        client = await ours.connect("outbound")
        client.write(b"GET /slow HTTP/1.1\r\nHost: orders\r\n\r\n")
        await handler.reached.wait()
        client.vanish()
        async with asyncio.timeout(DEADLINE):
            await handler.gone.wait()
        await check(ours, theirs)


async def test_who_shuts_its_end_is_held_to_have_gone_after_a_while() -> None:
    """As at a gateway: FIN alone may be that of a caller that reads on."""
    handler = Gate(b"", b"")
    waits = WAITS.replace("10m", "50ms")
    async with Backend(handler) as app, two(app.port, waits=waits) as (ours, theirs):
        client = await ours.connect("outbound")
        client.write(b"GET /slow HTTP/1.1\r\nHost: orders\r\n\r\n")
        await handler.reached.wait()
        client.writer.close()
        await check(ours, theirs)


@pytest.mark.parametrize("how", ["cancels", "closes"])
async def test_over_http2(how: str) -> None:
    reached, gone = asyncio.Event(), asyncio.Event()

    async def wait(stream: Stream) -> None:
        reached.set()
        await stream.closed.wait()
        if stream.reset == CANCEL:
            gone.set()

    async with H2Backend(wait) as app, two(app.port, 'protocol = "h2"\n') as (ours, theirs):
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(H2Client, "127.0.0.1", ours.outbound)
        number = client.ask(path="/slow", authority="orders")
        await reached.wait()
        if how == "cancels":
            client.reset(number, CANCEL)
        else:
            client.transport.close()
        async with asyncio.timeout(DEADLINE):
            await gone.wait()
        client.transport.close()
        await check(ours, theirs)
