"""Servers that are asked who may come in, and fail: nobody comes in. And what clients do
meanwhile: bodies that wait, and clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from proxy.http import h2
from proxy.server import side_request
from tests.harness import Backend, Client, Peer, gateway
from tests.server.forward_kit import Handler, asking, file, hangs, takes_all
from tests.server.h2_backend import H2Backend, Stream
from tests.server.kit import (
    ask,
    attributes,
    blackhole,
    eventually,
    is_settled,
    number,
    refusing,
    reply,
    request,
    script,
    send,
    trace,
)
from tests.server.test_h2_faults import First

YES = reply(200, b"ok", "X-User: joe")
BIG = b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT = ', timeout = "100ms"'


async def resets(peer: Peer) -> None:
    await request(peer)
    peer.write(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nhalf")
    await peer.writer.drain()
    peer.reset()


async def closes(peer: Peer) -> None:
    await request(peer)


async def stops(peer: Peer) -> None:
    """In the middle of a body."""
    await request(peer)
    peer.write(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nhalf")
    await peer.rest()


async def endless(peer: Peer) -> None:
    """100 MB of a refusal."""
    await request(peer)
    peer.write(BIG)
    for _ in range(1600):
        peer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        await peer.writer.drain()


async def drips(peer: Peer) -> None:
    """A body, byte by byte, which takes longer than there is time."""
    await request(peer)
    peer.write(b"HTTP/1.1 401 No\r\nContent-Length: 100000\r\n\r\n")
    while True:
        peer.write(b"x")
        await peer.writer.drain()
        await asyncio.sleep(0.01)


def headful(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nX-Large: " + b"x" * size + b"\r\nContent-Length: 0\r\n\r\n"


BAD: list[tuple[str, Handler | bytes]] = [
    ("hangs", hangs),
    ("resets", resets),
    ("closes", closes),
    ("stops", stops),
    ("endless", endless),
    ("drips", drips),
    ("500", reply(500, b"boom")),
    ("503", reply(503, b"boom", "Retry-After: 7")),
    ("304", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ("101", b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    ("600", reply(600, b"")),
    ("no HTTP", b"200 OK you may\r\n\r\n"),
    ("a status alone", b"HTTP/1.1 200"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
    ("a head that is too large", headful(2_000_000)),
    ("only interim", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    ("declares too much", b"HTTP/1.1 401 No\r\nContent-Length: 70000\r\n\r\n" + bytes(70000)),
]


@pytest.mark.parametrize(("name", "handler"), BAD, ids=[name for name, _ in BAD])
@pytest.mark.parametrize("cached", ["", ', cache = "10s"'], ids=["uncached", "cached"])
async def test_nobody_comes_in_by_a_server_that_fails(
    name: str, handler: Handler | bytes, cached: str
) -> None:
    async with asking(handler, SHORT + cached) as asked:
        client = await asked.gate.connect()
        for _ in range(2):
            answer = await ask(client, "GET", "/a")
            assert (answer.status, answer["retry-after"]) == (503, ""), name
            assert b"boom" not in answer.body and answer["set-cookie"] == ""
        assert asked.backend.heads == []
        labels = {"spangate_check": "sso", "spangate_denied_reason": "unavailable"}
        await asked.gate.recorded.collect()
        assert number(asked.gate, "spangate.access.denied", **labels) == 2
        await asked.gate.spans(4)
        await eventually(lambda: len(asked.spans_of_questions()) >= 2)
        about = attributes(asked.spans_of_questions()[0])
        if name != "304":
            assert about["error.type"]
        await client.close()
        await eventually(lambda: is_settled(asked.gate))


@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
async def test_a_server_that_is_not_there(kind: str) -> None:
    with (refusing if kind == "refusing" else blackhole)() as url:
        async with Backend() as behind, gateway(file(f"{url}/verify", behind, SHORT)) as gate:
            for _ in range(2):
                assert (await gate.get("/a")).status == 503
            assert behind.heads == []


class LetsIn(Peer):
    """Says 200 where a handler refuses."""

    def write(self, data: bytes) -> None:
        for refusal in (b"403 No", b"401 No"):
            data = data.replace(refusal, b"200 OK")
        super().write(data)


@pytest.mark.parametrize("handler", [resets, stops, drips])
async def test_what_follows_the_head_of_an_answer_that_lets_in_does_not_matter(
    handler: Handler,
) -> None:
    async def lets_in(peer: Peer) -> None:
        await handler(LetsIn(peer.reader, peer.writer))

    async with asking(lets_in, ', timeout = "1s"') as asked:
        for _ in range(3):
            assert (await asked.gate.get("/a")).status == 200
        await eventually(lambda: is_settled(asked.gate))


async def test_the_connection_of_a_body_that_comes_later_is_used_again() -> None:
    async def slowly(peer: Peer) -> None:
        while True:
            await request(peer)
            peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            await peer.writer.drain()
            await asyncio.sleep(0)
            peer.write(b"body")

    async with asking(slowly) as asked:
        for _ in range(3):
            assert (await asked.gate.get("/a")).status == 200
            await eventually(lambda: is_settled(asked.gate))
        assert len(asked.verifier.peers) == 1


async def test_a_kept_connection_that_has_ended_is_tried_once_more() -> None:
    count = 0

    async def once(peer: Peer) -> None:
        nonlocal count
        count += 1
        await request(peer)
        peer.write(YES)
        if count == 1:
            await request(peer)
            peer.reset()
        await peer.rest()

    async with asking(once) as asked:
        for _ in range(2):
            assert (await asked.gate.get("/a")).status == 200
        assert count == 2


@pytest.mark.parametrize(
    ("odd", "times", "status", "asked"),
    [
        (lambda stream: stream.line.goaway(0), 10, 200, 11),
        (lambda stream: stream.line.goaway(0), 99, 503, 17),
        (lambda stream: stream.rst(h2.REFUSED_STREAM), 3, 200, 4),
        (lambda stream: stream.rst(h2.REFUSED_STREAM), 99, 503, 4),
        (lambda stream: stream.rst(h2.CANCEL), 1, 503, 1),
        (lambda stream: stream.rst(h2.HTTP_1_1_REQUIRED), 99, 200, 1),  # no stream the second time
    ],
    ids=["going away", "always going away", "refused", "always refused", "cancelled", "by 1.1"],
)
async def test_a_question_that_was_not_processed_is_asked_again_as_requests_are(
    odd: Callable[[Stream], object], times: int, status: int, asked: int
) -> None:
    async with Backend() as behind, H2Backend(First(odd, times)) as verifier:
        upstream = f'[upstream.verifier]\nprotocol = "h2"\nservers = ["{verifier.url}"]\n'
        text = file("http://verifier/verify", behind, ', timeout = "50s"', top=upstream)
        async with gateway(text) as gate:
            assert (await gate.get("/a")).status == status
            assert len(verifier.streams) == asked
            assert bool(behind.heads) == (status == 200)
            await eventually(lambda: is_settled(gate))


async def test_a_refusal_within_the_bound_is_whole() -> None:
    body = bytes(range(256)) * 256  # 64 KiB
    async with asking(reply(403, body)) as asked:
        answer = await asked.gate.get("/a")
        assert (answer.status, answer.body) == (403, body)


async def test_a_gateway_that_asks_itself_does_not_do_so_for_ever() -> None:
    """Its own route for the question wants the same check."""
    async with Backend() as behind, gateway(file("http://127.0.0.1:1/v", behind)) as gate:
        await gate.reload(file(f"http://127.0.0.1:{gate.port}/v", behind, ', timeout = "20s"'))
        assert (await gate.get("/a")).status == 503
        await gate.recorded.collect()
        assert number(gate, "http.server.request.duration") <= 20
        assert behind.heads == []


# what clients do meanwhile


class Slow:
    """A verifier that answers when the test says so."""

    def __init__(self, answer: bytes = YES) -> None:
        self.asked, self.go, self.gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._answer = answer

    async def __call__(self, peer: Peer) -> None:
        while True:
            await request(peer)
            self.asked.set()
            going = asyncio.create_task(self.go.wait(), name="go")  # noqa: TID251
            ended = asyncio.create_task(peer.reader.read(1), name="end")  # noqa: TID251
            await asyncio.wait((going, ended), return_when=asyncio.FIRST_COMPLETED)
            for task in (going, ended):
                task.cancel()
            if ended.done() and not ended.cancelled():
                self.gone.set()
                return
            await asyncio.gather(going, ended, return_exceptions=True)
            peer.write(self._answer)


LONG = ', timeout = "20s"'


async def test_a_client_that_leaves_takes_its_question_with_it() -> None:
    slow = Slow()
    async with asking(slow, LONG) as asked:
        client = await asked.gate.connect()
        send(client, "GET", "/a")
        await slow.asked.wait()
        client.vanish()
        await slow.gone.wait()
        seen = await trace(asked.gate)
        assert seen.about["spangate.client_gone"] is True
        await eventually(asked.spans_of_questions)
        (span,) = asked.spans_of_questions()
        assert span.status.code == 0 and asked.backend.heads == []
        await eventually(lambda: is_settled(asked.gate))


def _chunked(body: bytes, size: int) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


async def _write(client: Client, data: bytes) -> None:
    client.write(data)
    await client.writer.drain()


@pytest.mark.parametrize("size", [1, 5_000, 100_000, 20_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_waits_and_then_is_forwarded_whole(size: int, chunked: bool) -> None:
    slow = Slow()
    async with asking(slow, LONG, backend=takes_all) as asked:
        client = await asked.gate.connect()
        body = bytes(size)
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        send(client, "POST", "/a", framing)
        data = _chunked(body, 70_000) if chunked else body
        writing = asyncio.create_task(_write(client, data), name="write")  # noqa: TID251
        await slow.asked.wait()
        slow.go.set()
        answer = await client.answer()
        await writing
        assert (answer.status, answer.body) == (200, b"%d" % size)


async def test_a_large_body_is_not_read_while_it_waits() -> None:
    slow = Slow()
    async with asking(slow, LONG, backend=takes_all) as asked:
        client = await asked.gate.connect()
        send(client, "POST", "/a", "Content-Length: 50000000")
        await slow.asked.wait()
        client.write(bytes(50_000_000))
        before = -1
        while (left := client.writer.transport.get_write_buffer_size()) != before:
            before = left
            await asked.gate.recorded.collect()
        assert left > 20_000_000  # the kernel's buffers hold the rest
        slow.go.set()
        assert (await client.answer()).body == b"50000000"


async def test_a_body_of_a_refused_request_is_thrown_away() -> None:
    async with asking(script(reply(403, b"no"))) as asked:
        client = await asked.gate.connect()
        answer = await ask(client, "POST", "/a", body=bytes(30_000))
        assert answer.status == 403 and asked.backend.heads == []


async def test_who_expects_100_hears_it_when_he_is_let_in() -> None:
    slow = Slow()
    async with asking(slow, LONG, backend=takes_all) as asked:
        client = await asked.gate.connect()
        send(client, "POST", "/a", "Content-Length: 3", "Expect: 100-continue")
        await slow.asked.wait()
        assert b"expect" not in asked.verifier.heads[0].lower()
        slow.go.set()
        assert (await client.head()).startswith(b"HTTP/1.1 100 ")
        client.write(b"abc")
        assert (await client.answer()).body == b"3"
    async with asking(reply(401, b"")) as asked:
        client = await asked.gate.connect()
        send(client, "POST", "/a", "Content-Length: 3", "Expect: 100-continue")
        assert (await client.answer()).status == 401


async def test_requests_one_after_the_other_on_one_connection() -> None:
    async with asking(script(YES, reply(401, b"no"), YES), backend=takes_all) as asked:
        client = await asked.gate.connect()
        one = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        client.write(one * 3)
        assert [(await client.answer()).status for _ in range(3)] == [200, 401, 200]
        assert len(asked.backend.heads) == 2


async def test_time_is_counted_for_each_question_by_itself() -> None:
    """One timer serves them all (`side_request.Deadlines`)."""
    late: list[int] = []

    class One(side_request.SideRequest):
        __slots__ = ("_number",)

        def __init__(self, number: int) -> None:
            self._number = number

        def on_late(self) -> None:
            late.append(self._number)

    deadlines = side_request.Deadlines(0.05)
    requests = [One(i) for i in range(4)]
    for one in requests[:3]:
        deadlines.add(one)
    deadlines.drop(requests[1])
    await eventually(lambda: len(late) == 2)
    deadlines.add(requests[3])
    await eventually(lambda: len(late) == 3)
    assert late == [0, 2, 3]


async def test_a_gateway_that_ends_does_not_wait_for_answers() -> None:
    slow = Slow()
    async with asking(slow, LONG) as asked:
        client = await asked.gate.connect()
        send(client, "GET", "/a")
        await slow.asked.wait()
        for guest in list(asked.gate.worker._connections):
            guest.cut()
        assert (await client.answer()).status == 503
        await slow.gone.wait()
        assert asked.backend.heads == []


async def test_many_at_once_and_all_is_given_back() -> None:
    async with asking(script(YES, reply(401, b"no"), reply(500, b"")), LONG) as asked:
        for _ in range(3):
            clients = [await asked.gate.connect() for _ in range(40)]
            for client in clients:
                send(client, "GET", "/a", "Cookie: a=1")
            statuses = [(await client.answer()).status for client in clients]
            assert set(statuses) <= {200, 401, 503} and len(statuses) == 40
            for client in clients:
                await client.close()
        await asked.gate.recorded.collect()
        await eventually(lambda: is_settled(asked.gate))
        await asked.gate.recorded.collect()
        assert number(asked.gate, "http.server.active_requests") == 0
        assert number(asked.gate, "http.server.request.duration") == 120
        assert len(asked.verifier.heads) == 120
