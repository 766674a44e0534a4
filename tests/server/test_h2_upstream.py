"""HTTP/2 towards upstreams: exchanges over a shared connection, from clients of HTTP/1.1."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness import DEADLINE, Backend, gateway
from tests.server.h2_backend import H2Backend, Stream, routes
from tests.server.kit import ask, check_shape, eventually, is_settled, send, trace, traces
from tests.server.wire import get, post, raw


async def test_a_request_and_its_answer() -> None:
    async def handler(stream: Stream) -> None:
        assert await stream.body() == b"pay"
        stream.head(201, ("x-a", "1"), ("set-cookie", "a"), ("set-cookie", "b"))
        stream.data(b"made", True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        lines = ["X-UPPER: Kept as it is", "TE: trailers", "Connection: te", "Keep-Alive: 5"]
        answer = await ask(client, "POST", "/a?b=c", *lines, body=b"pay")
        assert (answer.status, answer.body) == (201, b"made")
        assert answer.head.startswith(b"HTTP/1.1 201 Created\r\n")
        assert [v for n, v in answer.fields if n == "set-cookie"] == ["a", "b"]
        assert answer["transfer-encoding"] == "chunked"
        (stream,) = backend.streams
        pseudo = [":method", ":scheme", ":authority", ":path"]
        assert [n for n, _ in stream.fields[:4]] == pseudo
        assert [stream[n] for n in pseudo] == ["POST", "http", "gateway.test", "/a?b=c"]
        assert stream["x-upper"] == "Kept as it is"
        assert (stream["content-length"], stream["te"]) == ("3", "trailers")
        assert stream["host"] == stream["connection"] == stream["keep-alive"] == ""
        assert stream["via"] == "1.1 spangate"
        seen = await trace(gate)
        check_shape(seen)
        assert stream["traceparent"].split("-")[2] == seen.clients[0].span_id.hex()
        assert seen.tried[0]["network.protocol.version"] == "2"
        assert seen.about["network.protocol.version"] == "1.1"


async def test_all_exchanges_go_over_one_connection() -> None:
    async with H2Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(3):
            assert (await ask(client, "GET", "/x")).body == b"ok"
        assert len(backend.lines) == 1
        reused = [t.tried[0].get("http.request.resend_count") for t in await traces(gate, 3)]
        assert reused == [None] * 3
        (pool,) = gate.worker._pools.values()
        assert (pool.open, pool.idle, pool.opened, pool.reused) == (1, 1, 1, 2)


async def test_a_hundred_that_come_at_once_share_a_connection() -> None:
    async with H2Backend() as backend, gateway(routes(backend)) as gate:
        answers = await asyncio.gather(*[gate.get(f"/{n}") for n in range(100)])
        assert {a.status for a in answers} == {200}
        assert len(backend.lines) <= 2
        await eventually(lambda: is_settled(gate))


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
async def test_an_answer_without_a_body(method: str) -> None:
    async def handler(stream: Stream) -> None:
        stream.head(200, ("content-length", "0" if method != "HEAD" else "7"), end=True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(2):
            answer = await ask(client, method, "/x")
            assert (answer.status, answer.body) == (200, b"")
            assert answer["content-length"] == ("0" if method != "HEAD" else "7")
        assert len(backend.lines) == 1
        assert backend.streams[0].ended


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body(status: int) -> None:
    async def handler(stream: Stream) -> None:
        stream.head(status, ("etag", '"x"'), end=True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        answer = await ask(client, "GET", "/x")
        assert (answer.status, answer["etag"]) == (status, '"x"')
        assert (await ask(client, "GET", "/x")).status == status


async def test_interim_answers_are_relayed() -> None:
    async def handler(stream: Stream) -> None:
        stream.head(103, ("link", "</a.css>"))
        stream.head(100)
        assert await stream.body() == b"abc"
        stream.ok()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(post(b"Expect: 100-continue", b"Content-Length: 3"))
        assert (await client.answer())["link"] == "</a.css>"
        assert (await client.answer()).status == 100
        client.write(b"abc")
        assert (await client.answer()).body == b"ok"
        assert backend.streams[0]["expect"] == "100-continue"


async def test_a_body_of_unknown_length_goes_up_as_it_comes() -> None:
    async def handler(stream: Stream) -> None:
        await stream.some(3)
        stream.head(200)
        assert await stream.body() == b"abcdef"
        stream.data(b"all", True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"))
        assert (await client.head()).startswith(b"HTTP/1.1 200 OK")
        client.write(b"3\r\ndef\r\n0\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            assert await client.reader.readuntil(b"0\r\n\r\n") == b"3\r\nall\r\n0\r\n\r\n"
        assert backend.streams[0]["content-length"] == ""
        assert backend.streams[0]["transfer-encoding"] == ""


async def test_an_early_answer_ends_the_upload() -> None:
    """RFC 9113 §8.1: RST_STREAM with NO_ERROR after a complete answer is no error."""

    async def handler(stream: Stream) -> None:
        stream.head(413)
        stream.data(b"big", True)
        stream.rst(0)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, post(b"Content-Length: 8000000", body=bytes(1000)))
        await client.until(b"big")
        client.transport.write(bytes(500_000))
        got = await client.end()
        assert got.startswith(b"HTTP/1.1 413 ")
        assert (await trace(gate)).tried[0].get("error.type") == "413"
        await eventually(lambda: is_settled(gate))
        assert (await gate.get("/next")).status == 413
        assert len(backend.lines) == 1


async def test_an_early_answer_without_a_reset_cancels_the_upload() -> None:
    async def handler(stream: Stream) -> None:
        stream.head(403, end=True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, post(b"Content-Length: 8000000", body=bytes(1000)))
        await client.until(b"403")
        await eventually(lambda: backend.streams[0].reset is not None)
        assert backend.streams[0].reset == 8
        assert (await gate.get("/next")).status == 403
        assert len(backend.lines) == 1


async def test_who_goes_away_cancels_his_exchange_alone() -> None:
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        stream.head(200)
        stream.data(b"x")
        await go.wait()
        stream.data(b"y", True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        one, other = await gate.connect(), await raw(gate, get())
        send(one, "GET", "/x")
        await one.head()
        await other.until(b"x\r\n")
        one.vanish()
        await eventually(lambda: any(s.reset is not None for s in backend.streams))
        assert [s.reset for s in backend.streams if s.reset is not None] == [8]
        go.set()
        await other.until(b"0\r\n\r\n")
        assert len(backend.lines) == 1


# back-pressure


async def test_a_client_that_does_not_read_holds_back_its_stream_alone() -> None:
    size = 16 * 1024 * 1024  # more than the kernel takes

    async def handler(stream: Stream) -> None:
        stream.head(200, ("content-length", str(size)))
        stream.data(bytes(size), True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        slow = await gate.connect()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        send(slow, "GET", "/slow")
        await eventually(lambda: backend.streams)
        held = backend.streams[0]
        line = next(iter(gate.worker._pools.values()))._lines  # type: ignore[attr-defined]
        await eventually(lambda: [u.paused for u in line] == [1])
        quick = await gate.connect()
        for _ in range(2):
            assert len((await ask(quick, "GET", "/quick")).body) == size
        assert held.queued > size // 4
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await slow.answer()).body) == size
        assert len(backend.lines) == 1


async def test_an_upstream_that_does_not_read_holds_back_the_client() -> None:
    size = 8 * 1024 * 1024
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        await go.wait()
        while not stream.ended:
            stream.take()
            await asyncio.sleep(0)
        stream.ok(str(len(stream.got)).encode())

    async with H2Backend(handler, reads=False) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(post(b"Content-Length: %d" % size, body=bytes(size)))
        await eventually(lambda: backend.streams)
        (ours,) = gate.worker._connections
        await eventually(lambda: ours.reading_paused)  # type: ignore[attr-defined]
        (line,) = next(iter(gate.worker._pools.values()))._lines  # type: ignore[attr-defined]
        assert line._session.queued() < 1024 * 1024
        assert len(backend.streams[0].got) <= 64 * 1024
        go.set()
        assert (await client.answer()).body == b"%d" % size


# what is not HTTP/2


async def test_an_upstream_that_speaks_http_1_1() -> None:
    async def handler(peer: object) -> None:
        peer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")  # type: ignore[attr-defined]

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:  # type: ignore[arg-type]
        answer = await gate.get("/x")
        assert (answer.status, answer["proxy-status"].split("; ")[1]) == (
            502, "error=http_protocol_error",
        )  # fmt: skip
        seen = await trace(gate)
        assert seen.tried[0]["error.type"] == "bad_response"
        assert "speaks HTTP/1.1, not HTTP/2" in seen.clients[0].status.message
