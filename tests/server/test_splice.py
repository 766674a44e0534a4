"""Large bodies past the program: everything that holds of a body in pieces holds of these."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from proxy.server import splice
from tests.harness import OK, Backend, Client, Gateway, Peer, gateway, routes
from tests.server.bodies import HUGE, MIB, PIECE, SHA, digest, emit, plainly
from tests.server.kit import (
    Trace,
    check_shape,
    eventually,
    eventually_collected,
    is_settled,
    reply,
    request,
    send,
    trace,
)

PART = 5 * MIB + 1234  # of a body of 64 MiB
SOME = (PIECE * (PART // len(PIECE) + 1))[:PART]
PROMISE = f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n".encode()

pytestmark = pytest.mark.skipif(not hasattr(os, "splice"), reason="Linux has splice(2)")


# the rule


@pytest.mark.parametrize(
    ("left", "flows", "suits"),
    [
        (0, 0, False),
        (splice.PLENTY - 1, 0, False),
        (splice.PLENTY, 0, True),
        (1 << 50, splice.MOST - 1, True),
        (1 << 50, splice.MOST, False),
    ],
)
def test_it_is_for_what_is_long_while_few_are(left: int, flows: int, suits: bool) -> None:
    assert splice.suits(left, flows) is suits


def test_all_together_move_so_much_in_a_turn() -> None:
    assert splice.share(1) == splice.PIPE
    assert all(n * splice.share(n) <= splice.TURN for n in range(1, splice.MOST + 1))
    assert splice.PLENTY > splice.TAIL > 0  # there is something to move, and something left


# kit


@contextlib.asynccontextmanager
async def nothing_left(gate: Gateway) -> AsyncIterator[None]:
    """Neither a flow nor a descriptor."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert not splice._FLOWS
    await eventually(lambda: is_settled(gate))
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)  # the kept upstream


class Slow:
    """A client that reads what it is told to: the kernel holds the rest, and no more."""

    def __init__(self, gate: Gateway) -> None:
        self.sock = socket.create_connection(("127.0.0.1", gate.port))
        self.sock.setblocking(False)
        self.loop = asyncio.get_running_loop()

    async def ask(self, text: bytes) -> None:
        await self.loop.sock_sendall(self.sock, text)

    async def head(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self.loop.sock_recv(self.sock, 1)
        return data

    async def rest(self, most: int = HUGE) -> bytes:
        """Up to `most` bytes, fewer at the end or at a reset."""
        data = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while len(data) < most and (
                more := await self.loop.sock_recv(self.sock, min(MIB, most - len(data)))
            ):
                data += more
        return bytes(data)

    def vanish(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


BOOKS = "[access_log]\nstdout = true"
GET = b"GET /x HTTP/1.1\r\nHost: g\r\n\r\n"


def blocked() -> bool:
    """A flow has met a sink that takes no more, and holds bytes for it."""
    return any(flow._blocked and flow._held for flow in splice._FLOWS)


async def much(peer: Peer) -> None:
    while True:
        await request(peer)
        peer.write(PROMISE)
        await emit(peer.writer, lambda p: p, b"")


# whole bodies


async def test_down_at_the_clients_pace_and_then_the_next_request() -> None:
    async with Backend(much) as backend, gateway(routes(backend)) as gate, nothing_left(gate):
        client = Slow(gate)
        for _ in range(2):
            await client.ask(GET)
            await client.head()
            await eventually(blocked)
            got = await client.rest()
            assert (hashlib.sha256(got).hexdigest(), len(got)) == (SHA, HUGE)
        client.sock.close()
    assert len(backend.peers) == 1  # its connection was used again


async def test_up_at_the_backends_pace_and_then_the_next_request() -> None:
    go, found = asyncio.Event(), []

    async def take(peer: Peer) -> None:
        while True:
            await peer.head()
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await go.wait()
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
            found.append(await digest(plainly(peer.reader, HUGE)))
            peer.write(OK)

    async with Backend(take) as backend, gateway(routes(backend)) as gate, nothing_left(gate):
        client = await gate.connect()
        for _ in range(2):
            go.clear()
            send(client, "PUT", "/x", f"Content-Length: {HUGE}")
            sending = asyncio.get_running_loop().create_task(emit(client.writer, lambda p: p, b""))
            await eventually(blocked)
            go.set()
            await sending
            assert (await client.answer()).status == 200
        await client.close()
    assert found == [(SHA, HUGE)] * 2
    assert len(backend.peers) == 1


async def test_the_books_have_every_byte() -> None:
    async with Backend(much) as backend, gateway(routes(backend, BOOKS)) as gate:
        client = await gate.connect()
        client.write(GET)
        await client.head()
        assert await digest(plainly(client.reader, HUGE)) == (SHA, HUGE)
        await client.close()
        check_shape(await trace(gate))
        assert await moved(gate) == (0, HUGE)


async def test_pieces_of_all_sizes_with_pauses_on_both_sides() -> None:
    dice = random.Random(5)
    sizes = [dice.choice([1, 100, 5000, 70_000, MIB + 1]) for _ in range(40)] + [4 * MIB]
    body = dice.randbytes(sum(sizes))

    async def unevenly(peer: Peer) -> None:
        await request(peer)
        peer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        start = 0
        for size in sizes:
            peer.write(body[start : start + size])
            await peer.writer.drain()
            await asyncio.sleep(0)
            start += size

    async with Backend(unevenly) as backend, gateway(routes(backend)) as gate, nothing_left(gate):
        client = Slow(gate)
        await client.ask(GET)
        await client.head()
        got = bytearray()
        while len(got) < len(body):
            most = dice.choice([1, 30_000, 300_000, MIB])
            got += await client.rest(min(most, len(body) - len(got)))
        assert got == body
        client.sock.close()


async def test_more_than_may_be_spliced_at_a_time_arrive_too() -> None:
    size, number = 3 * MIB, splice.MOST + 4
    body = random.Random(1).randbytes(size)

    async def say(peer: Peer) -> None:
        await request(peer)
        peer.write(reply(200, body))

    async with Backend(say) as backend, gateway(routes(backend)) as gate, nothing_left(gate):
        answers = await asyncio.gather(*(gate.get("/x") for _ in range(number)))
    assert all(a.body == body for a in answers)


# an answer that does not come to its end


async def stop_by_fin(peer: Peer) -> None:
    peer.writer.close()


async def stop_by_reset(peer: Peer) -> None:
    peer.reset()


async def stall(peer: Peer) -> None:
    await peer.reader.read(-1)


# what the backend does after a part of the body, the route, error.type, what the span says of it
CUT = {
    "closed": (stop_by_fin, "", "response_truncated", f"closed .*{HUGE - PART} bytes before"),
    "idle": (stall, "idle_timeout = '200ms'", "timeout", "no byte in either direction"),
    "total": (stall, "timeout = '400ms'", "timeout", "total time"),
}


def cut_after(how: Callable[[Peer], Any]) -> Callable[[Peer], Any]:
    async def handle(peer: Peer) -> None:
        await request(peer)
        peer.write(PROMISE + SOME)
        await peer.writer.drain()
        await how(peer)

    return handle


@pytest.mark.parametrize("case", CUT)
async def test_an_answer_cut_off_is_seen_to_be_and_told(case: str) -> None:
    handler, route, error, text = CUT[case]
    async with (
        Backend(cut_after(handler)) as backend,
        gateway(routes(backend, BOOKS, route)) as gate,
        nothing_left(gate),
    ):
        client = Slow(gate)
        await client.ask(GET)
        await client.head()
        got = await client.rest()
        assert got == SOME  # all that came, and no more
        client.sock.close()
        check_told(await trace(gate), error, text)
        assert await moved(gate) == (0, PART)


async def moved(gate: Gateway) -> tuple[int, int]:
    """Bytes of bodies in and out, by the access log's only line."""
    await eventually_collected(gate, lambda: gate.recorded.lines)
    (line,) = map(json.loads, gate.recorded.lines)
    return line["bytes_in"], line["bytes_out"]


def check_told(seen: Trace, error: str, text: str) -> None:
    check_shape(seen)
    assert seen.about["error.type"] == seen.tried[0]["error.type"] == error
    assert re.search(text, seen.server.status.message), seen.server.status.message


async def test_a_reset_in_the_body_is_told_as_one() -> None:
    stuck = asyncio.Event()

    async def break_off(peer: Peer) -> None:
        await request(peer)
        peer.write(PROMISE + SOME)
        await stuck.wait()
        peer.reset()

    async with (
        Backend(break_off) as backend,
        gateway(routes(backend)) as gate,
        nothing_left(gate),
    ):
        client = Slow(gate)
        await client.ask(GET)
        await client.head()
        assert await client.rest(PART) == SOME
        assert splice._FLOWS
        stuck.set()
        assert await client.rest() == b""
        client.sock.close()
        seen = await trace(gate)
    check_told(seen, "response_truncated", f"reset .*{HUGE - PART} bytes before")


async def test_a_client_that_stops_reading_is_dropped_in_the_end() -> None:
    route = "idle_timeout = '200ms'"
    async with (
        Backend(much) as backend,
        gateway(routes(backend, route=route)) as gate,
        nothing_left(gate),
    ):
        client = Slow(gate)
        await client.ask(GET)
        seen = await trace(gate)
        check_told(seen, "timeout", "no byte in either direction")
        await eventually(lambda: is_settled(gate))
        assert len(await client.rest()) < HUGE
        client.sock.close()


async def test_the_worker_stops_in_the_middle() -> None:
    async with Backend(much) as backend, gateway(routes(backend)) as gate:
        client = Slow(gate)
        await client.ask(GET)
        await eventually(blocked)
        for guest in list(gate.worker._connections):
            guest.cut()
        assert not splice._FLOWS
        assert len(await client.rest()) < HUGE
        client.sock.close()
        await eventually(lambda: is_settled(gate))


# clients that leave


@pytest.mark.parametrize("when", ["while it moves", "while it is blocked"])
async def test_a_client_that_vanishes_ends_it(when: str) -> None:
    handler = much if when == "while it is blocked" else cut_after(stall)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate, nothing_left(gate):
        client = Slow(gate)
        await client.ask(GET)
        if handler is much:
            await eventually(blocked)
        else:
            await client.head()
            assert await client.rest(PART) == SOME
            assert splice._FLOWS
        client.vanish()
        seen = await trace(gate)
        assert [(p.open, p.idle) for p in gate.worker._pools.values()] == [(0, 0)]
    assert seen.about["spangate.client_gone"] is True and "error.type" not in seen.about


async def test_a_client_that_shuts_its_end_gets_all_of_it() -> None:
    async with Backend(much) as backend, gateway(routes(backend)) as gate, nothing_left(gate):
        client = Slow(gate)
        await client.ask(GET)
        client.sock.shutdown(socket.SHUT_WR)
        await client.head()
        await eventually(blocked)
        got = await client.rest()
        assert hashlib.sha256(got).hexdigest() == SHA
        client.sock.close()
        assert "spangate.client_gone" not in (await trace(gate)).about


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_leaving_during_an_upload_ends_it(how: str) -> None:
    got: list[bytes] = []

    async def take(peer: Peer) -> None:
        await peer.head()
        with contextlib.suppress(ConnectionError):
            while piece := await peer.reader.read(MIB):
                got.append(piece)

    async with Backend(take) as backend, gateway(routes(backend)) as gate, nothing_left(gate):
        client = await gate.connect()
        await upload(client)
        await eventually(lambda: sum(map(len, got)) == PART)
        assert splice._FLOWS
        client.writer.close() if how == "close" else client.vanish()
        seen = await trace(gate)
    assert seen.about["spangate.client_gone"] is True
    assert b"".join(got) == SOME


# uploads that do not come to their end


async def upload(client: Client) -> None:
    send(client, "POST", "/x", f"Content-Length: {HUGE}")
    client.write(SOME)
    await client.writer.drain()


async def test_an_upload_that_stops_coming_is_408() -> None:
    route = "idle_timeout = '200ms'"
    async with (
        Backend(cut_after_upload(stall)) as backend,
        gateway(routes(backend, BOOKS, route)) as gate,
        nothing_left(gate),
    ):
        client = await gate.connect()
        await upload(client)
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (408, "close")
        await client.close()
        assert "error.type" not in (await trace(gate)).about
        assert (await moved(gate))[0] == PART


def cut_after_upload(how: Callable[[Peer], Any], after: int = PART) -> Callable[[Peer], Any]:
    async def handle(peer: Peer) -> None:
        await peer.head()
        await digest(plainly(peer.reader, after))
        await how(peer)

    return handle


async def test_a_backend_that_takes_no_more_is_504() -> None:
    """It is not the client that is slow."""

    async def deaf(peer: Peer) -> None:
        await peer.head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    route = "idle_timeout = '200ms'"
    async with (
        Backend(deaf) as backend,
        gateway(routes(backend, route=route)) as gate,
    ):
        client = await gate.connect()
        send(client, "PUT", "/x", f"Content-Length: {HUGE}")
        sending = asyncio.get_running_loop().create_task(emit(client.writer, lambda p: p, b""))
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (504, "close")
        sending.cancel()
        client.writer.transport.abort()
        await eventually(lambda: is_settled(gate) and not splice._FLOWS)
        assert (await trace(gate)).about["error.type"] == "timeout"


# what the backend does in the middle of an upload, the client's status, error.type
UPLOADS = {
    "closed": (stop_by_fin, 502, "connection_reset"),
    "reset": (stop_by_reset, 502, "connection_reset"),
}


@pytest.mark.parametrize("case", UPLOADS)
async def test_a_backend_that_leaves_during_an_upload(case: str) -> None:
    how, status, error = UPLOADS[case]
    async with (
        Backend(cut_after_upload(how)) as backend,
        gateway(routes(backend)) as gate,
        nothing_left(gate),
    ):
        client = await gate.connect()
        await upload(client)
        assert (await client.answer()).status == status
        client.vanish()
        seen = await trace(gate)
    assert seen.about["error.type"] == error


async def test_an_answer_before_the_upload_has_ended() -> None:
    async def refuse(peer: Peer) -> None:
        peer.write(reply(413, b"no"))
        await peer.reader.read(-1)

    async with (
        Backend(cut_after_upload(refuse)) as backend,
        gateway(routes(backend)) as gate,
        nothing_left(gate),
    ):
        client = await gate.connect()
        await upload(client)
        answer = await client.answer()
        assert (answer.status, answer.body, answer["connection"]) == (413, b"no", "close")
        client.write(b"x" * 1000)
        assert await client.at_end()
        await client.close()
        await trace(gate)


# what is not spliced


async def test_chunks_and_what_is_compressed_are_not() -> None:
    body = b"a long text. " * (8 * MIB // 13)

    async def say(peer: Peer) -> None:
        while True:
            head, _ = await request(peer)
            framing = f"Content-Length: {len(body)}\r\nContent-Type: text/plain"
            if b"/chunked" in head:
                peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                peer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            else:
                peer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + body)
            assert not splice._FLOWS
            await peer.writer.drain()
            assert not splice._FLOWS

    async with Backend(say) as backend, gateway(routes(backend, route="compress = true")) as gate:
        answer = await gate.get("/x", "Accept-Encoding: gzip")
        assert answer["content-encoding"] == "gzip"
        assert (await gate.get("/chunked")).body == body
