"""The gRPC client against servers that are odd: what each answer means, and what is tried again."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from proxy.http.h2 import Rules
from proxy.otlp.connect import connect
from proxy.otlp.endpoint import parse
from proxy.otlp.grpc import GrpcTransport
from proxy.otlp.inflow import Limits
from proxy.otlp.rpc import asking, words
from proxy.otlp.rpc.clocks import SECOND, Keepalive
from proxy.otlp.serve_grpc import Binding, GrpcServer
from proxy.otlp.status import Outcome, Verdict
from proxy.otlp.transport import Options
from tests.http.h2_frames import GOAWAY, frame
from tests.otlp import samples
from tests.otlp.fake_collector import Answer, FakeCollector
from tests.otlp.h2_peer import Connection, Server, framed, replying
from tests.ports import free_port

PAYLOAD = samples.request("traces", 2000)
HEAD = ((b":status", b"200"), (b"content-type", b"application/grpc"))
RETRY, PERMANENT, ACCEPTED = Verdict.RETRY, Verdict.PERMANENT, Verdict.ACCEPTED


@asynccontextmanager
async def sender(port: int, options: Options | None = None) -> AsyncIterator[GrpcTransport]:
    transport = connect(parse(f"grpc://127.0.0.1:{port}"), options or Options(timeout=15))
    assert isinstance(transport, GrpcTransport)
    await transport.start()
    try:
        yield transport
    finally:
        await transport.close()


async def send(transport: GrpcTransport, payload: bytes = PAYLOAD) -> Outcome:
    return await transport.send("traces", payload, 2000)


def trailers_only(*fields: tuple[bytes, bytes], head: Any = HEAD) -> Any:
    return replying((*head, *fields), None, None)


# -- what answers mean ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "verdict", "reason", "message"),
    [
        (replying(), ACCEPTED, "", ""),
        (replying(body=framed(b"\x0a\x02\x08\x07")), ACCEPTED, "", ""),
        (replying(body=b""), ACCEPTED, "", ""),
        (replying(body=framed(b"x", flag=1)), ACCEPTED, "", ""),
        (replying(body=b"\0\0\0\0\x09cut"), ACCEPTED, "", ""),
        (trailers_only((b"grpc-status", b"0")), ACCEPTED, "", ""),
        (trailers_only((b"grpc-status", b"14"), (b"grpc-message", b"no%20%C3%BC%")),
         RETRY, "grpc_unavailable", "no ü%"),
        (trailers_only((b"grpc-status", b"3")), PERMANENT, "grpc_invalid_argument", ""),
        (trailers_only((b"grpc-status", b"99")), PERMANENT, "grpc_unknown", ""),
        (trailers_only((b"grpc-status", b"x")), PERMANENT, "grpc_unknown", ""),
        (replying(trailers=()), PERMANENT, "grpc_unknown", "the answer has no grpc-status"),
        (trailers_only(), PERMANENT, "grpc_unknown", "the answer has no grpc-status"),
        (trailers_only(head=((b":status", b"503"),)), RETRY, "grpc_unavailable", "status 503"),
        (trailers_only(head=((b":status", b"429"),)), RETRY, "grpc_unavailable", "status 429"),
        (trailers_only(head=((b":status", b"404"),)), PERMANENT, "grpc_unimplemented", "404"),
        (trailers_only(head=((b":status", b"401"),)), PERMANENT, "grpc_unauthenticated", "401"),
        (trailers_only(head=((b":status", b"403"),)), PERMANENT, "grpc_permission_denied", "403"),
        (trailers_only(head=((b":status", b"500"),)), PERMANENT, "grpc_unknown", "500"),
        (replying((), None, None, reset=7), RETRY, "grpc_unavailable", "takes no more"),
        (replying((), None, None, reset=8), RETRY, "grpc_cancelled", "error 8"),
        (replying((), None, None, reset=11), PERMANENT, "grpc_resource_exhausted", "error 11"),
        (replying((), None, None, reset=2), PERMANENT, "grpc_internal", "error 2"),
        (replying(trailers=None, reset=2), PERMANENT, "grpc_internal", "error 2"),
    ],
)  # fmt: skip
async def test_answers(reply: Any, verdict: Verdict, reason: str, message: str) -> None:
    async with Server(reply) as server, sender(server.port) as transport:
        outcome = await send(transport)
        assert (outcome.verdict, outcome.reason) == (verdict, reason)
        assert message in outcome.message
        assert len(server.connections) == 1


async def test_details_may_be_padded_or_not() -> None:
    async with FakeCollector("grpc") as collector:
        collector.default = Answer(grpc=8, retry_info=2.5)
        async with sender(collector.port) as transport:
            assert (await send(transport)).delay == 2.5


async def test_an_answer_that_is_too_large() -> None:
    large = replying(body=bytes(asking.RESPONSE + 100))
    async with Server(large) as server, sender(server.port) as transport:
        outcome = await send(transport)
        assert (outcome.verdict, outcome.reason) == (PERMANENT, "grpc_resource_exhausted")


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", bytes(100)])
async def test_who_does_not_speak_http_2(data: bytes) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    async with server, sender(server.sockets[0].getsockname()[1]) as transport:
        outcome = await send(transport)
    assert (outcome.verdict, outcome.reason) == (RETRY, "grpc_unavailable")
    assert "the connection was" in outcome.message


async def test_nobody_there_is_told_with_the_address() -> None:
    port = free_port()
    async with sender(port) as transport:
        outcomes = [await send(transport) for _ in range(2)]
    for outcome in outcomes:
        assert (outcome.verdict, outcome.reason) == (RETRY, "grpc_unavailable")
        why = f"cannot connect to 127.0.0.1:{port}: 127.0.0.1: connection refused"
        assert outcome.message == why


async def test_a_name_that_is_none() -> None:
    transport = connect(parse("grpc://no-such-host.invalid"), Options(timeout=15))
    await transport.start()
    outcome = await transport.send("traces", PAYLOAD, 2000)
    await transport.close()
    assert (outcome.verdict, outcome.reason) == (RETRY, "grpc_unavailable")
    assert "no-such-host.invalid" in outcome.message


async def test_addresses_are_tried_in_turn() -> None:
    """localhost is ::1 too, where nobody listens."""
    async with Server(replying()) as server:
        transport = connect(parse(f"grpc://localhost:{server.port}"), Options(timeout=15))
        await transport.start()
        assert (await transport.send("traces", PAYLOAD, 2000)).verdict is ACCEPTED
        await transport.close()


async def test_a_server_of_tls_that_does_not_know_http_2() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    async with Server(replying(), tls=context) as server:
        endpoint = parse(f"grpcs://localhost:{server.port}")
        transport = connect(endpoint, Options(timeout=15, verify=False))
        await transport.start()
        outcome = await transport.send("traces", PAYLOAD, 2000)
        await transport.close()
    assert outcome.verdict is RETRY
    assert "ALPN" in outcome.message


# -- what is sent -----------------------------------------------------------------------------


@asynccontextmanager
async def taking(**more: Any) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Our own server, which takes every coding."""
    took: list[bytes] = []

    def take(signal: str, payload: bytes) -> None:
        took.append(payload)

    server = GrpcServer(Binding("127.0.0.1", 0, Limits(2**26, 2**28), **more), take)
    await server.start()
    yield server.port, took
    await server.stop(5)


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate", "zstd", "snappy"])
@pytest.mark.parametrize("payload", [samples.request("traces", 10), PAYLOAD, b""])
async def test_every_compression(compression: str, payload: bytes) -> None:
    async with taking() as (port, took), sender(port, Options(compression=compression)) as to:
        assert (await send(to, payload)).verdict is ACCEPTED
        assert took == [payload]


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
async def test_compression_for_grpcio(compression: str) -> None:
    async with FakeCollector("grpc") as collector:
        async with sender(collector.port, Options(compression=compression)) as transport:
            assert (await send(transport)).verdict is ACCEPTED
        assert collector.received[0].payload == PAYLOAD


async def test_what_comes_again_is_not_compressed_again() -> None:
    async with FakeCollector("grpc") as collector:
        collector.script(Answer(grpc=14), Answer(grpc=14))
        async with sender(collector.port, Options(compression="gzip")) as transport:
            assert (await send(transport)).verdict is RETRY
            ((_, made),) = transport._compressed.values()
            assert (await send(transport)).verdict is RETRY
            assert next(iter(transport._compressed.values()))[1] is made
            assert (await send(transport)).verdict is ACCEPTED
            assert not transport._compressed


async def test_what_is_given_up_is_not_kept() -> None:
    async with FakeCollector("grpc") as collector:
        collector.default = Answer(grpc=14)
        options = Options(compression="gzip", concurrency=2)
        async with sender(collector.port, options) as transport:
            for number in range(10):
                assert (await send(transport, b"%d" % number)).verdict is RETRY
            assert len(transport._compressed) == 4


async def test_the_metadata() -> None:
    async with Server(replying()) as server:
        options = Options(
            timeout=7, headers={"X-Team": "a", "x-trace-bin": "b"}, compression="gzip"
        )
        async with sender(server.port, options) as transport:
            await send(transport)
        fields = server.connections[0].answers[1].fields
    assert fields.pop(b"user-agent").startswith(b"spangate/")
    assert fields == {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        b":authority": b"127.0.0.1:%d" % server.port,
        b"te": b"trailers",
        b"content-type": b"application/grpc",
        b"grpc-timeout": b"7000000u",
        b"grpc-encoding": b"gzip",
        b"b3": b"0",
        b"x-team": b"a",
        b"x-trace-bin": words.binary_text(b"b"),
    }


@pytest.mark.parametrize("window", [16, 1000, 65_535])
async def test_small_windows(window: int) -> None:
    rules = Rules(stream_window=window, connection_window=65_535)
    payload = samples.request("traces", 10 if window < 1000 else 2000)
    async with Server(replying(), rules) as server, sender(server.port) as transport:
        assert (await send(transport, payload)).verdict is ACCEPTED
        assert server.connections[0].answers[1].body == framed(payload)


async def test_no_more_calls_at_once_than_are_taken() -> None:
    async with Server(replying(), Rules(streams=2)) as server, sender(server.port) as transport:
        assert (await send(transport)).verdict is ACCEPTED  # and its settings are known now
        outcomes = await asyncio.gather(*(send(transport) for _ in range(20)))
        assert {outcome.verdict for outcome in outcomes} == {ACCEPTED}
        assert (server.most, len(server.connections)) == (2, 1)


# -- connections ------------------------------------------------------------------------------


async def test_one_connection_for_all_calls() -> None:
    async with Server(replying()) as server, sender(server.port) as transport:
        outcomes = await asyncio.gather(*(send(transport) for _ in range(20)))
        assert {outcome.verdict for outcome in outcomes} == {ACCEPTED}
        assert len(server.connections) == 1


async def test_connections_that_are_renewed_cost_no_call() -> None:
    async with taking(keepalive=Keepalive(age=SECOND // 20)) as (port, took):
        async with sender(port) as transport:
            end = asyncio.get_running_loop().time() + 2
            sent = 0
            while asyncio.get_running_loop().time() < end:
                outcomes = await asyncio.gather(*(send(transport, b"") for _ in range(3)))
                assert {outcome.verdict for outcome in outcomes} == {ACCEPTED}
                sent += 3
        assert len(took) == sent


async def test_goaway_before_a_call_was_begun() -> None:
    """The first connection says that it did not begin; the second takes it."""

    def reply(connection: Connection, stream: int) -> None:
        if connection is server.connections[0]:
            connection.transport.write(frame(GOAWAY, 0, 0, bytes(8)))  # last stream: 0
        else:
            replying()(connection, stream)

    async with Server(reply) as server, sender(server.port) as transport:
        assert (await send(transport)).verdict is ACCEPTED
        assert len(server.connections) == 2


async def test_goaway_lets_calls_end() -> None:
    waiting: list[tuple[Connection, int]] = []

    def reply(connection: Connection, stream: int) -> None:
        if not waiting:
            waiting.append((connection, stream))
            connection.session.goaway()
        else:
            replying()(connection, stream)

    async with Server(reply) as server, sender(server.port) as transport:
        first = asyncio.get_running_loop().create_task(send(transport))
        async with asyncio.timeout(20):
            while not waiting:
                await asyncio.sleep(0.005)
        assert (await send(transport)).verdict is ACCEPTED
        ((connection, stream),) = waiting
        replying()(connection, stream)
        connection.flush()
        assert (await first).verdict is ACCEPTED
        assert len(server.connections) == 2
        await connection.until(lambda: connection.is_lost)


async def test_a_deadline_ends_the_call_at_the_server_and_on_a_dead_connection_all_others() -> None:
    def reply(connection: Connection, stream: int) -> None:
        if connection is not server.connections[0]:
            replying()(connection, stream)

    options = Options(timeout=0.2)
    async with Server(reply) as server, sender(server.port, options) as transport:
        outcome = await send(transport, b"")
        assert (outcome.verdict, outcome.reason) == (RETRY, "grpc_deadline_exceeded")
        silent = server.connections[0]
        await silent.until(lambda: silent.answers[1].error == 8)
        async with asyncio.timeout(20):
            while (await send(transport, b"")).verdict is not ACCEPTED:
                silent.transport.pause_reading()  # a host that vanished
        assert len(server.connections) == 2


async def test_a_connection_that_breaks_under_a_call() -> None:
    def reply(connection: Connection, stream: int) -> None:
        connection.transport.abort()

    async with Server(reply) as server, sender(server.port) as transport:
        outcome = await send(transport)
        assert (outcome.verdict, outcome.reason) == (RETRY, "grpc_unavailable")


async def test_without_a_limit_of_time() -> None:
    async with Server(replying()) as server, sender(server.port, Options(timeout=0)) as transport:
        assert (await send(transport)).verdict is ACCEPTED
        assert b"grpc-timeout" not in server.connections[0].answers[1].fields


async def test_a_server_that_reads_nothing_costs_no_memory_beyond_the_message() -> None:
    options = Options(timeout=0.3)
    payload = bytes(30_000_000)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with sender(deaf.getsockname()[1], options) as transport:
            outcome = await send(transport, payload)
            assert outcome.reason == "grpc_deadline_exceeded"
