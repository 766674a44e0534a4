"""Clients that speak HTTP/2, over real sockets, before backends that speak HTTP/1.1."""

from __future__ import annotations

import asyncio
from pathlib import Path

from proxy.http import h2
from proxy.http.h2 import Rules
from proxy.http.upgrade import accept_of
from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.h2_kit import Got, H2Client, by_hand, h2_client
from tests.server.kit import (
    Gate,
    check_shape,
    chunks,
    eventually,
    is_settled,
    number,
    reply,
    request,
    script,
    trace,
    traces,
)
from tests.server.tls_kit import connect, listening, trusting


async def test_a_request_and_its_span() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        got = await client.get("/x?q=1", (b"x-a", b"1"))
        assert (got.status, got.body, got["content-length"]) == (200, b"ok", "2")
        assert backend.heads[0].startswith(b"GET /x?q=1 HTTP/1.1\r\nhost: gateway.test\r\n")
        assert backend.field("x-a") == "1"
        assert backend.field("via") == "2 spangate"
        seen = await trace(gate)
        check_shape(seen)
        assert seen.about["network.protocol.version"] == "2"
        assert seen.tried[0]["network.protocol.version"] == "1.1"
        assert seen.about["url.path"] == "/x"


async def test_many_at_once_on_one_connection() -> None:
    async def handler(peer: Peer) -> None:
        while True:
            head, body = await request(peer)
            peer.write(reply(200, head.split()[1] + body))

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        streams = [client.ask("GET", f"/{n}") for n in range(100)]
        for n, stream in enumerate(streams):
            got = await client.answer(stream)
            assert (got.status, got.body) == (200, b"/%d" % n)
        assert len(await traces(gate, 100)) == 100
        client.transport.abort()
        await eventually(lambda: is_settled(gate))


async def test_a_body_goes_up_and_down_whatever_its_size() -> None:
    size = 3_000_000

    async def handler(peer: Peer) -> None:
        while True:
            _, body = await request(peer)
            peer.write(reply(200, body))

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        sent = bytes(range(256)) * (size // 256)
        known = client.ask("POST", "/", (b"content-length", b"%d" % len(sent)), end=False)
        client.data(known, sent, True)
        unknown = client.ask("POST", "/", end=False)
        client.data(unknown, sent[:100_000])
        client.data(unknown, sent[100_000:], True)
        for stream in (known, unknown):
            got = await client.answer(stream)
            assert got.body == sent
        heads = b"".join(backend.heads).lower()
        assert b"content-length: %d" % len(sent) in heads
        assert b"transfer-encoding: chunked" in heads
        for seen in await traces(gate, 2):
            check_shape(seen)


async def test_a_slow_reader_holds_the_backend_back() -> None:
    size = 20_000_000
    sent = 0

    async def handler(peer: Peer) -> None:
        nonlocal sent
        await request(peer)
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            peer.write(b"x" * 50_000)
            sent += 50_000
            await peer.writer.drain()

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        client.reads = False
        stream = client.ask()
        got = await client.head(stream)
        await eventually(lambda: len(got.body) >= 65_000)
        before = -1
        while before != sent:
            before = sent
            await client_turns()
        assert sent < size / 2, "kernel buffers alone"
        other = client.ask("GET", "/other")  # the connection's window is larger than a stream's
        client.reset(other)
        client.read(stream)
        await client.answer(stream)
        assert len(got.body) == size


async def client_turns() -> None:
    """Long enough for what can move to have moved."""
    await asyncio.sleep(0.1)


async def test_a_slow_backend_holds_the_client_back() -> None:
    go = asyncio.Event()

    async def handler(peer: Peer) -> None:
        head = await peer.head()
        if b"chunked" in head.lower():
            await go.wait()
            body = await chunks(peer.reader)
            peer.write(reply(200, b"%d" % len(body)))
        else:
            peer.write(OK)

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        stream = client.ask("POST", "/", end=False)
        client.data(stream, b"x" * 30_000_000, True)
        before = -1
        while before != client.session.queued(stream):
            before = client.session.queued(stream)
            await client_turns()
        assert before > 15_000_000
        assert (await client.get("/other")).status == 200, "only that stream waits"
        go.set()
        got = await client.answer(stream)
        assert got.body == b"30000000"


async def test_a_cancelled_request_is_cancelled_behind_us() -> None:
    gate_of = Gate(b"", OK)
    async with Backend(gate_of) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        stream = client.ask()
        await gate_of.reached.wait()
        client.reset(stream)
        await asyncio.wait_for(gate_of.gone.wait(), 10)
        seen = await trace(gate)
        assert seen.about["spangate.client_gone"] is True
        await gate.recorded.collect()
        assert number(gate, "spangate.downstream.streams.reset", spangate_by="client") == 1


async def test_a_client_that_leaves_cancels_all() -> None:
    gate_of = Gate(b"", OK)
    async with Backend(gate_of) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        for _ in range(5):
            client.ask()
        await eventually(lambda: len(backend.heads) == 5)
        client.transport.abort()
        for seen in await traces(gate, 5):
            assert seen.about["spangate.client_gone"] is True
        await eventually(lambda: is_settled(gate))


async def test_a_truncated_answer_is_reset() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"

    async def handler(peer: Peer) -> None:
        await request(peer)
        peer.write(cut)

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        got = await client.get()
        assert (got.status, got.body, got.reset) == (200, b"abc", h2.INTERNAL_ERROR)
        assert (await client.get("/again")).reset == h2.INTERNAL_ERROR, "the connection goes on"


async def test_informational_answers_and_heads_without_bodies() -> None:
    answers = (
        b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" + OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    )
    async with Backend(script(*answers)) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        got = await client.get()
        assert got.informational == [[(b":status", b"103"), (b"link", b"</a>")]]
        assert (got.status, got.body) == (200, b"ok")
        for method, status, length in (("GET", 204, ""), ("GET", 304, "7"), ("HEAD", 200, "5")):
            got = await client.get(method=method)
            assert (got.status, got.body, got["content-length"]) == (status, b"", length)
            assert got.reset is None


async def test_no_field_of_the_connection_goes_on() -> None:
    lines = (
        "Connection: x-drop",
        "X-Drop: 1",
        "Keep-Alive: timeout=5",
        "X-Keep:  1 ",
        "Upgrade: a",
    )
    async with (
        Backend(script(reply(200, b"", *lines))) as backend,
        gateway(routes(backend)) as gate,
    ):
        client = await h2_client(gate)
        got = await client.get()
        names = {name for name, _ in got.fields}
        assert not names & {b"connection", b"x-drop", b"keep-alive", b"upgrade"}
        assert got["x-keep"] == "1"


async def test_an_early_answer_ends_the_upload() -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(reply(413, b"no"))
        await peer.rest()

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        stream = client.ask("POST", "/", end=False)
        client.data(stream, b"x" * 1000)
        got = await client.answer(stream)
        assert (got.status, got.body, got.reset) == (413, b"no", h2.NO_ERROR)


async def test_a_body_that_is_too_large_is_refused_and_others_go_on() -> None:
    async with Backend() as backend, gateway(routes(backend, '[limits]\nbody = "1000B"')) as gate:
        client = await h2_client(gate)
        stream = client.ask("POST", "/", (b"content-length", b"5000"), end=False)
        assert (await client.answer(stream)).status == 413
        stream = client.ask("POST", "/", end=False)
        client.data(stream, b"x" * 2000)
        assert (await client.answer(stream)).status == 413
        assert (await client.get()).status == 200


async def test_trailers_come_down() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n"
    )
    async with Backend(script(answer)) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        got = await client.get("/", (b"te", b"trailers"))
        assert (got.body, got.trailers) == (b"ok", [(b"x-sum", b"1")])
        assert backend.field("te") == "trailers"


async def test_trailers_go_up() -> None:
    got: list[bytes] = []

    async def handler(peer: Peer) -> None:
        await peer.head()
        got.append(await peer.reader.readuntil(b"0\r\n"))
        got.append(await peer.reader.readuntil(b"\r\n\r\n"))
        peer.write(OK)

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        stream = client.ask("POST", "/", end=False)
        client.data(stream, b"abc")
        client.session.send_trailers(stream, [(b"x-sum", b"6"), (b"x-two", b"2")])
        client.flush()
        assert (await client.answer(stream)).status == 200
        assert got == [b"3\r\nabc\r\n0\r\n", b"x-sum: 6\r\nx-two: 2\r\n\r\n"]


async def test_draining_is_said_in_two_steps_and_loses_nothing() -> None:
    gate_of = Gate(b"", OK)
    async with Backend(gate_of) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        first = client.ask()
        await gate_of.reached.wait()
        gate.worker.drain()
        await client.until(lambda: len(client.goaways) == 2)
        assert [g.last_stream_id for g in client.goaways] == [0x7FFFFFFF, first]
        assert [g.error_code for g in client.goaways] == [0, 0]
        gate_of.go.set()
        assert (await client.answer(first)).status == 200
        await client.until(lambda: client.lost)


async def test_idle_connections_are_closed_in_words() -> None:
    async with Backend() as backend, gateway(routes(backend, '[limits]\nkeepalive = "1s"')) as gate:
        client = await h2_client(gate)
        assert (await client.get()).status == 200
        await client.until(lambda: client.lost)
        assert [g.error_code for g in client.goaways] == [0]
        await gate.recorded.collect()
        assert number(gate, "spangate.downstream.goaways", spangate_reason="idle") == 1


async def test_streams_beyond_the_limit_wait_or_are_refused() -> None:
    gate_of = Gate(b"", OK)
    more = "[limits]\nstreams = 2"
    async with Backend(gate_of) as backend, gateway(routes(backend, more)) as gate:
        client = await h2_client(gate)
        await client.until(lambda: client.session.peer_streams == 2)
        streams = [client.ask() for _ in range(5)]
        await eventually(lambda: len(backend.heads) == 2)
        gate_of.go.set()
        for stream in streams:
            assert (await client.answer(stream)).status == 200


async def test_a_connection_in_plain_http_and_h2_on_one_port() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        assert (await gate.get("/1")).status == 200
        client = await h2_client(gate)
        assert (await client.get("/2")).status == 200
        assert (await gate.get("/3")).status == 200
        assert len(gate.worker._connections) >= 1
        assert gate.worker._accepted == 3


async def test_a_preface_after_a_request_is_no_request() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        answer = await gate.exchange(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + h2.PREFACE + b"\0\0\0\4\0\0\0\0\0"
        )
        assert answer.count(b"HTTP/1.1 200 ") == 1
        assert answer.count(b"HTTP/1.1 505 ") == 1


async def test_a_preface_in_pieces() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = H2Client(Rules())
        stream = client.ask()
        data = b""
        while piece := client.session.take():
            data += piece
        byte_by_byte = await by_hand(gate.port, preface=b"")
        for place in range(len(data)):
            byte_by_byte.write(data[place : place + 1])
            for _ in range(3):  # turns of the loop: sent, arrived, read
                await asyncio.sleep(0)
        await byte_by_byte.until(lambda: (stream, b"ok") in byte_by_byte.bodies)


async def test_what_is_agreed_on_by_alpn(tmp_path: Path) -> None:
    async with Backend() as backend, gateway(routes(backend, listening(tmp_path))) as gate:
        context = trusting()
        context.set_alpn_protocols(["h2", "http/1.1"])
        client = await h2_client(gate, tls=context)
        assert client.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        assert (await client.get()).status == 200
        assert backend.field("x-forwarded-proto") == "https"
        seen = await trace(gate)
        assert seen.about["network.protocol.version"] == "2"
        assert seen.about["tls.next_protocol"] == "h2"


async def test_tls_without_alpn_speaks_http_1(tmp_path: Path) -> None:
    async with Backend() as backend, gateway(routes(backend, listening(tmp_path))) as gate:
        client = await connect(gate, trusting())
        client.write(h2.PREFACE)
        assert (await client.answer()).status == 505


async def test_what_the_gateway_grants() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        await client.until(lambda: client.settings)
        assert client.settings == {3: 100, 4: 65536, 6: 65536, 8: 1, 9: 1}


async def test_a_tunnel_by_extended_connect() -> None:
    async def handler(peer: Peer) -> None:
        head = await peer.head()
        key = next(
            line[19:] for line in head.split(b"\r\n") if line.startswith(b"sec-websocket-key")
        )
        lines = (b"Connection: upgrade", b"Upgrade: websocket", b"", b"hi")
        accepted = b"Sec-WebSocket-Accept: " + accept_of(key)
        peer.write(b"\r\n".join([b"HTTP/1.1 101 Switching", accepted, *lines]))
        peer.write(await peer.reader.readexactly(4))
        peer.write(b"|" + await peer.rest())
        peer.writer.write_eof()

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        fields = [(b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]
        await client.until(lambda: client.session.peer_connects)
        stream = client.ask("CONNECT", "/chat", *fields, end=False)
        client.data(stream, b"early")
        got = await client.head(stream)
        assert got.status == 200
        await client.until(lambda: got.body == b"hiearl")
        client.data(stream, b" more", True)
        await client.until(lambda: got.closed)
        assert (got.body, got.reset) == (b"hiearl|y more", None)
        about = (await trace(gate)).about
        assert about["http.response.status_code"] == 200
        assert (about["spangate.tunnel.bytes_in"], about["spangate.tunnel.bytes_out"]) == (10, 13)


async def test_a_connect_that_no_route_takes_is_refused() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        stream = client.session.send_request(
            [(b":method", b"CONNECT"), (b":authority", b"gateway.test:80")], False
        )
        client.got[stream] = Got()
        client.data(stream, b"early")
        got = await client.answer(stream)
        assert (got.status, got.reset) == (405, h2.NO_ERROR)
        assert backend.heads == []
