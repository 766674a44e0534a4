"""Keepalive of gRPC ports: what is set is in force, seen from a client that speaks raw HTTP/2."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.errors import ConfigError
from proxy.otlp.rpc.clocks import SECOND, Keepalive
from tests.collector.kit import Place, settings

SETTINGS, PING, GOAWAY = 4, 6, 7
TOO_MANY_PINGS = 11  # ENHANCE_YOUR_CALM
TYPES = ["otlp", "jaeger"]


def frame(kind: int, flags: int = 0, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + bytes(4) + body


class Client:
    """A connection without requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))

    async def next(self, *wanted: int) -> tuple[int, bytes]:
        """The next frame of one of these kinds that is no answer to ours."""
        async with asyncio.timeout(20):
            while True:
                head = await self.reader.readexactly(9)
                body = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags = head[3], head[4]
                if kind == SETTINGS and not flags & 1:
                    self.writer.write(frame(SETTINGS, 1))
                elif kind in wanted and (kind != PING or not flags & 1):
                    return kind, body


@asynccontextmanager
async def connected(type: str, toml: str) -> AsyncIterator[Client]:
    receiver = Place("receiver", type).make(f'grpc = "127.0.0.1:0"\n{toml}')
    await receiver.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.addresses["grpc"])
        yield Client(reader, writer)
        writer.close()
    finally:
        async with asyncio.timeout(20):
            await receiver.stop(1)


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("key", ["max_connection_age", "max_connection_idle"])
async def test_a_connection_ends_when_its_time_is_over(type: str, key: str) -> None:
    async with connected(type, f'keepalive.server_parameters.{key} = "200ms"') as client:
        await client.next(GOAWAY)


async def test_a_client_is_asked_whether_it_lives() -> None:
    toml = 'keepalive.server_parameters = { time = "1s", timeout = "1s" }'
    async with connected("otlp", toml) as client:
        assert (await client.next(PING))[0] == PING
        # It says nothing, so it is taken for dead.
        async with asyncio.timeout(20):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                while True:
                    await client.next(GOAWAY)


@pytest.mark.parametrize(
    ("policy", "is_closed"),
    [("{}", True), ('{ min_time = "1ms", permit_without_stream = true }', False)],
)
async def test_clients_may_ask_as_often_as_they_are_allowed_to(
    policy: str, is_closed: bool
) -> None:
    age = 'server_parameters = { max_connection_age = "2s" }'
    toml = f"keepalive = {{ {age}, enforcement_policy = {policy} }}"
    async with connected("otlp", toml) as client:
        for number in range(10):
            client.writer.write(frame(PING, 0, number.to_bytes(8, "big")))
            if number > 2 and is_closed:
                break
            await asyncio.sleep(0.02)  # so much more than min_time
        _, body = await client.next(GOAWAY)
        assert struct.unpack(">I", body[4:8]) == (TOO_MANY_PINGS if is_closed else 0,)


def test_nothing_set_is_what_grpc_does_but_for_idle_connections() -> None:
    for type in TYPES:
        made = settings("receiver", type, 'grpc = "127.0.0.1:0"')
        assert made.keepalive.clocks() == Keepalive(
            idle=300 * SECOND, time=0, timeout=20 * SECOND, min_time=300 * SECOND
        )


def test_a_key_that_the_collector_does_not_have_is_told() -> None:
    with pytest.raises(ConfigError, match="max_connection_agee"):
        settings("receiver", "otlp", 'keepalive.server_parameters.max_connection_agee = "1s"')
