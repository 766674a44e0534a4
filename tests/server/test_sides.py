"""The sides themselves, over real sockets: tunnels, trailers, and states that follow the table."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import proxy
from proxy.http.edits import WANTS_TRAILERS, WANTS_TUNNEL, Edits
from proxy.server import h1_client_states, h1_upstream_states
from proxy.server.dial import dial
from proxy.server.door import Door
from proxy.server.h1_client import ClientConnection
from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.story import Story
from tests.harness import DEADLINE, Backend, Gateway, Peer, gateway, routes
from tests.server.kit import ask, eventually, reply, script, send


class Relay(Story):
    """A story that lets everything through: what a policy may one day allow."""

    def begin(self) -> None:
        self.client.pause()
        endpoint = next(self.worker.upstreams.endpoints())
        self.worker.dial(self, endpoint, 1.0)

    def on_connected(self, upstream: Any) -> None:
        self.upstream = upstream
        edits = Edits("/x", "b.test")
        edits.wants = WANTS_TRAILERS | WANTS_TUNNEL
        upstream.start(self, self.head, edits, [])
        self.client.resume()

    def on_body_end(self, trailers: Any) -> None:
        if self.upstream is not None:
            self.upstream.end(trailers)

    def on_response(self, head: Any) -> None:
        assert self.upstream is not None
        self.client.send_head(head, Edits(), [])
        if head.status == 101:
            self.client.open_tunnel()
            self.upstream.open_tunnel()

    def on_response_end(self, now: int, trailers: Any) -> None:
        self.client.end(trailers)
        if self.client.upload_done and not self.is_tunnel():
            self.upstream = None
            self.client.next(now)

    def is_tunnel(self) -> bool:
        return isinstance(self.client, ClientConnection) and (
            self.client._state == h1_client_states.TUNNEL
        )

    def on_client_gone(self) -> None:
        if self.upstream is not None:
            self.upstream.abort()

    def on_upstream_failed(self, error: Any) -> None:
        self.client.abort()


@contextlib.asynccontextmanager
async def relaying(backend: Backend) -> AsyncIterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.server.doors.tell", Relay)
        async with gateway(routes(backend)) as gate:
            yield gate


async def test_a_tunnel_carries_bytes_both_ways_and_both_half_closes() -> None:
    got: list[bytes] = []

    async def handler(peer: Peer) -> None:
        head = await peer.head()
        assert b"connection: te, upgrade\r\nupgrade: echo\r\n" in head
        peer.write(b"HTTP/1.1 101 Switched\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly ")
        got.append(await peer.reader.read())  # until the client shuts its end
        peer.write(b"late")

    async with Backend(handler) as backend, relaying(backend) as gate:
        client = await gate.connect()
        send(client, "GET", "/x", "Connection: upgrade", "Upgrade: echo")
        async with asyncio.timeout(DEADLINE):
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101") and b"upgrade: echo\r\n" in head.lower()
            assert await client.reader.readexactly(6) == b"early "
            client.write(b"no HTTP \r\n\r\n" * 3)
            client.writer.write_eof()
            assert await client.reader.read() == b"late"
        await client.close()
    assert got == [b"no HTTP \r\n\r\n" * 3]


async def test_a_tunnel_holds_back_who_is_too_fast() -> None:
    go = asyncio.Event()
    size = 8 * 1024 * 1024

    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 101 Switched\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        await go.wait()
        assert len(await peer.reader.readexactly(size)) == size
        peer.write(b"all")

    async with Backend(handler) as backend, relaying(backend) as gate:
        client = await gate.connect()
        send(client, "GET", "/x", "Connection: upgrade", "Upgrade: echo")
        async with asyncio.timeout(DEADLINE):
            await client.reader.readuntil(b"\r\n\r\n")
            (ours,) = gate.worker._connections
            client.write(bytes(size))
            await eventually(lambda: ours.reading_paused)  # type: ignore[attr-defined]
            go.set()
            assert await client.reader.readexactly(3) == b"all"
        await client.close()


async def test_trailers_pass_both_codecs() -> None:
    seen: list[bytes] = []

    async def handler(peer: Peer) -> None:
        head = await peer.head()
        assert b"te: trailers" in head
        seen.append(await peer.reader.readuntil(b"x-up: 1\r\n\r\n"))
        peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.write(b"2\r\nok\r\n0\r\nx-down: 2\r\n\r\n")

    async with Backend(handler) as backend, relaying(backend) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", "Transfer-Encoding: chunked")
        await eventually(lambda: backend.heads)
        client.write(b"3\r\nabc\r\n0\r\nx-up: 1\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            answer = await client.reader.readuntil(b"x-down: 2\r\n\r\n")
        assert answer.endswith(b"2\r\nok\r\n0\r\nx-down: 2\r\n\r\n")
        await client.close()
    assert seen == [b"3\r\nabc\r\n0\r\nx-up: 1\r\n\r\n"]


@pytest.mark.skipif(not proxy.WHY_PLAIN, reason="compiled code cannot be watched at it")
async def test_states_follow_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers, refusals, uploads, keep-alive and ends, with every transition looked up."""
    steps: set[tuple[str, object, object]] = set()

    def checked(kind: Any, table: dict[Any, frozenset[Any]]) -> Any:
        slot = kind._state

        class Checked(kind):  # type: ignore[misc]
            @property
            def _state(self) -> Any:
                return slot.__get__(self)

            @_state.setter
            def _state(self, new: Any) -> None:
                with contextlib.suppress(AttributeError):  # the first one
                    old = slot.__get__(self)
                    assert new in table[old], f"{old!r} to {new!r}"
                    steps.add((kind.__name__, old, new))
                slot.__set__(self, new)

        return Checked

    client_kind = checked(ClientConnection, h1_client_states.NEXT)
    upstream_kind = checked(UpstreamConnection, h1_upstream_states.NEXT)
    monkeypatch.setattr("proxy.server.door.ClientConnection", client_kind)
    monkeypatch.setattr("proxy.server.pool.UpstreamConnection", upstream_kind)
    async with Backend(script(reply())) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for body in (b"", b"x" * 70_000, b""):
            assert (await ask(client, "POST", "/x", body=body)).status == 200
        send(client, "POST", "/x", "Transfer-Encoding: chunked")
        client.write(b"zz\r\n")
        assert (await client.answer()).status == 400
        assert await client.at_end()
        assert b" 400 " in await gate.exchange(b"no HTTP\r\n\r\n")
    assert {kind for kind, *_ in steps} == {"ClientConnection", "UpstreamConnection"}
    assert len(steps) >= 12, steps


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "localhost:99999999"])
async def test_every_dial_ends(name: str) -> None:
    """Also where the reason is no OSError: a label that is too long, a port that does not exist."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        endpoint = next(gate.worker.upstreams.endpoints())
        pool = gate.worker.pool_of(endpoint)
        host, _, port = name.partition(":")
        pool.host, pool.port = host, int(port or 80)
        answer = await gate.get("/x")
        assert answer.status == 503
        pool.host, pool.port = endpoint.host, endpoint.port
        (await dial(pool, 1.0, gate.worker._descriptors)).close()


async def test_the_door_is_where_connections_come_in() -> None:
    """What is known of a peer comes from its connection."""
    async with Backend(script(reply())) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/x")).status == 200
        (ours,) = gate.worker._connections
        assert isinstance(ours, ClientConnection) and isinstance(ours._door, Door)
        assert ours.peer.where == client.writer.get_extra_info("sockname")
        assert (ours.scheme, ours.peer.is_unix, ours.peer.identity) == ("http", False, None)
        await client.close()
