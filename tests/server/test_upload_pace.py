"""Bodies that come a byte now and then: `limits.body_rate`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from proxy.server.h1_pace import UploadPace
from tests.harness import OK, Backend, Client, Gateway, Peer, gateway, routes
from tests.server.kit import Gate, eventually, is_settled, trace
from tests.server.test_limits import sweep
from tests.server.wire import post

SECOND = 1_000_000_000
LENGTH = post(b"Content-Length: 100000")
CHUNKS = post(b"Transfer-Encoding: chunked")


def piece(request: bytes, size: int) -> bytes:
    return bytes(size) if request is LENGTH else b"%x\r\n%b\r\n" % (size, bytes(size))


async def arrives(gate: Gateway, client: Client, request: bytes, size: int) -> None:
    """Send a piece of the body and wait until the gateway has it."""
    (ours,) = gate.worker._connections
    before = ours._left
    client.write(piece(request, size))
    await eventually(lambda: ours._left != before)


async def begun(gate: Gateway, backend: Backend, request: bytes) -> Client:
    """A client whose upload the backend has begun to get."""
    client = await gate.connect()
    client.write(request + piece(request, 10))
    await eventually(lambda: backend.heads and not any(
        c.reading_paused for c in gate.worker._connections
    ))  # fmt: skip
    sweep(gate, 0)
    return client


@pytest.mark.parametrize("request_", [LENGTH, CHUNKS], ids=["length", "chunks"])
async def test_a_body_that_trickles_is_given_up(request_: bytes) -> None:
    handler = Gate(b"", OK)

    async def silent(peer: Peer) -> None:
        await peer.head()
        await peer.rest()
        handler.gone.set()

    async with Backend(silent) as backend, gateway(routes(backend)) as gate:
        client = await begun(gate, backend, request_)
        for seconds in (4, 8):
            await arrives(gate, client, request_, 1)
            sweep(gate, seconds)
        assert not gate.made
        sweep(gate, 11)
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (408, "close")
        assert b"too slowly" in answer.body
        await asyncio.wait_for(handler.gone.wait(), 20)
        assert (await trace(gate)).about["http.response.status_code"] == 408
        await client.close()
        await eventually(lambda: is_settled(gate))


@pytest.mark.parametrize("request_", [LENGTH, CHUNKS], ids=["length", "chunks"])
async def test_one_that_flows_goes_on(request_: bytes) -> None:
    async def silent(peer: Peer) -> None:
        await peer.head()
        await peer.rest()

    async with Backend(silent) as backend, gateway(routes(backend)) as gate:
        client = await begun(gate, backend, request_)
        for seconds in (11, 22, 33):
            await arrives(gate, client, request_, 3000)
            sweep(gate, seconds)
        assert not gate.made
        sweep(gate, 44)  # and now it stops
        assert (await client.answer()).status == 408


async def early(peer: Peer) -> None:
    await peer.head()
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await peer.rest()


async def silent(peer: Peer) -> None:
    await peer.head()
    await peer.rest()


SPARED = {
    "without a rate": ("[limits]\nbody_rate = 0", LENGTH, silent),
    "whose answer has begun": ("", LENGTH, early),
    "that waits for 100": ("", post(b"Expect: 100-continue", b"Content-Length: 9"), silent),
}


@pytest.mark.parametrize(("more", "request_", "handler"), SPARED.values(), ids=SPARED.keys())
async def test_a_body_that_may_be_slow(more: str, request_: bytes, handler: object) -> None:
    async with Backend(handler) as backend, gateway(routes(backend, more)) as gate:  # type: ignore[arg-type]
        client = await gate.connect()
        client.write(request_ + (bytes(10) if request_ is LENGTH else b""))
        await eventually(lambda: backend.heads)
        if handler is early:
            await client.head()
        for seconds in (0, 11, 22, 33):
            sweep(gate, seconds)
        assert not gate.made
        await client.close()


async def test_a_body_that_the_upstream_does_not_take_is_not_slow() -> None:
    async def deaf(peer: Peer) -> None:
        await peer.head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.get_running_loop().create_future()

    async with Backend(deaf) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(post(b"Content-Length: 50000000"))
        await eventually(lambda: backend.heads)
        client.write(bytes(40_000_000))
        (ours,) = gate.worker._connections
        await eventually(lambda: ours.reading_paused)
        for seconds in (0, 11, 22, 33):
            sweep(gate, seconds)
        assert not gate.made


def steps(rate: int, looks: Iterator[tuple[int, int, bool]]) -> list[bool]:
    pace, request = UploadPace(), object()
    return [pace.is_slow(request, came, s * SECOND, rate, counts=c) for s, came, c in looks]


def test_only_the_time_counts_in_which_it_is_the_clients_turn() -> None:
    looks = [(0, 0, True), (9, 1, True), (30, 1, False), (31, 1, True)]
    assert steps(100, iter(looks)) == [False, False, False, True]


def test_each_window_is_looked_at_alone() -> None:
    """A megabyte at the beginning does not pay for hours of trickling."""
    looks = [(0, 0, True), (10, 1_000_000, True), (20, 1_000_010, True)]
    assert steps(100, iter(looks)) == [False, False, True]


def test_each_request_begins_anew() -> None:
    pace = UploadPace()
    assert not pace.is_slow(first := object(), 0, 0, 100, counts=True)
    assert not pace.is_slow(object(), 0, 10 * SECOND, 100, counts=True)
    assert not pace.is_slow(first, 0, 11 * SECOND, 100, counts=True)
