"""HTTP/2 on both sides: streams of clients to streams of upstreams, and what crosses between."""

from __future__ import annotations

import asyncio

import pytest

from proxy.http import h2
from proxy.http.h2 import NeverIndexedHeader
from tests.harness import gateway
from tests.server.h2_backend import H2Backend, Stream, routes
from tests.server.h2_kit import h2_client
from tests.server.kit import check_shape, eventually, is_settled, trace


async def test_heads_bodies_and_trailers_both_ways() -> None:
    async def handler(stream: Stream) -> None:
        assert await stream.body() == b"pay"
        assert stream.trailers == [(b"x-sum", b"3")]
        stream.head(103, ("link", "</a>"))
        stream.head(200, ("content-type", "application/grpc"))
        stream.data(b"answer")
        stream.end(("grpc-status", "0"), ("grpc-message", "fine"))

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        number = client.ask("POST", "/pkg.Service/Method", (b"te", b"trailers"), end=False)
        client.data(number, b"pay")
        assert client.session.send_trailers(number, [(b"x-sum", b"3")])
        client.flush()
        got = await client.answer(number)
        assert (got.status, got.body, got.reset) == (200, b"answer", None)
        assert got.trailers == [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]
        assert [dict(head)[b":status"] for head in got.informational] == [b"103"]
        assert (backend.streams[0]["te"], backend.streams[0]["content-length"]) == ("trailers", "")
        seen = await trace(gate)
        check_shape(seen)
        assert seen.about["network.protocol.version"] == "2"
        assert seen.tried[0]["network.protocol.version"] == "2"


async def test_what_nobody_may_index_nobody_indexes() -> None:
    """RFC 7541 §7.1.3: on no hop, both ways; its other lines may be."""
    secrets = (b"authorization", b"cookie", b"x-secret")
    cookie = NeverIndexedHeader(b"set-cookie", b"id=1")

    async def handler(stream: Stream) -> None:
        fields = [(b":status", b"200"), cookie, (b"x-open", b"2")]
        stream.line.session.send_response(stream.number, fields, True)
        stream.line.flush()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        sent = [NeverIndexedHeader(name, b"k=v") for name in (*secrets, b"cookie")]
        got = await client.get("/x", *sent, (b"x-open", b"1"))
        (stream,) = backend.streams
        assert stream.never_indexed == {*secrets}
        assert stream["cookie"] == "k=v; k=v"
        assert stream["x-open"] == "1"
        assert [pair for pair in got.fields if isinstance(pair, NeverIndexedHeader)] == [cookie]
        assert got["x-open"] == "2"
        await client.get("/x", (b"cookie", b"k=" + b"v" * 30))  # short ones the engine hides
        assert backend.streams[1].never_indexed == set()


async def test_an_answer_of_trailers_alone() -> None:
    async def handler(stream: Stream) -> None:
        stream.head(200, ("grpc-status", "12"), end=True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        got = await client.get("/x", method="POST")
        assert (got.status, got["grpc-status"], got.body) == (200, "12", b"")


async def test_a_stream_of_both_kinds_at_once() -> None:
    """As of gRPC: each side says something, and hears the other before it goes on."""

    async def handler(stream: Stream) -> None:
        stream.head(200)
        for size in range(1, 6):
            await stream.some(size)
            stream.data(b"%d" % size)
        await stream.body()
        stream.end(("grpc-status", "0"))

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        number = client.ask("POST", end=False)
        got = client.got[number]
        for size in range(1, 6):
            client.data(number, b"x")
            await client.until(lambda n=size: len(got.body) == n)
        client.session.end(number)
        client.flush()
        await client.answer(number)
        assert (got.body, got.trailers) == (b"12345", [(b"grpc-status", b"0")])
        assert backend.streams[0].got == b"xxxxx"


async def test_a_clients_cancel_reaches_the_upstream() -> None:
    async def handler(stream: Stream) -> None:
        stream.head(200)
        stream.data(b"x")

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        number = client.ask("POST", end=False)
        await client.until(lambda: client.got[number].body)
        client.reset(number)
        await eventually(lambda: backend.streams[0].reset == h2.CANCEL)
        await eventually(lambda: len(backend.lines) == 1 and not backend.lines[0].gone.is_set())
        seen = await trace(gate)
        assert "error.type" not in seen.tried[0]


@pytest.mark.parametrize("how", ["reset", "closed"])
async def test_an_answer_that_is_cut_off_is_reset(how: str) -> None:
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        stream.head(200)
        stream.data(b"x")
        await go.wait()
        if how == "reset":
            stream.rst(h2.INTERNAL_ERROR)
        else:
            stream.line.transport.close()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        number = client.ask()
        await client.until(lambda: client.got[number].body)
        go.set()
        got = await client.answer(number)
        assert got.reset == h2.INTERNAL_ERROR
        assert not client.lost
        assert (await trace(gate)).about["error.type"] == "response_truncated"


async def test_many_streams_over_one_connection_on_each_side() -> None:
    async def handler(stream: Stream) -> None:
        stream.ok(stream[":path"].encode() * 1000)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        numbers = {n: client.ask(path=f"/{n}") for n in range(100)}
        for n, number in numbers.items():
            assert (await client.answer(number)).body == b"/%d" % n * 1000
        assert len(backend.lines) <= 2


async def test_what_is_large_goes_both_ways_at_once() -> None:
    size = 8 * 1024 * 1024

    async def handler(stream: Stream) -> None:
        stream.head(200)
        sent = 0
        while sent < size:
            await stream.some(sent + 1)
            piece = stream.got[sent:]
            stream.data(piece)
            sent += len(piece)
        stream.end()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        number = client.ask("POST", end=False)
        client.data(number, bytes(size), end=True)
        assert len((await client.answer(number)).body) == size


async def test_a_slow_client_stops_the_upstream_and_no_other_stream() -> None:
    size = 8 * 1024 * 1024

    async def handler(stream: Stream) -> None:
        stream.head(200)
        stream.data(bytes(size), True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        slow, quick = await h2_client(gate), await h2_client(gate)
        slow.reads = False
        number = slow.ask()
        await slow.until(lambda: slow.got[number].body)
        assert len((await quick.get()).body) == size
        held = backend.streams[0].queued
        assert held > size - 2 * 1024 * 1024
        slow.read(number)
        assert len((await slow.answer(number)).body) == size
        slow.transport.abort()
        quick.transport.abort()
        await eventually(lambda: is_settled(gate))
