"""What one address may have: connections, new ones, requests under way; and that others do not
notice whoever wants more. Clients here have addresses of their own: 127.0.0.2, 127.0.0.3."""

from __future__ import annotations

import asyncio
import logging
import mmap
from pathlib import Path

import pytest

from proxy.http.proxy_header import encode
from proxy.server.crowd import CONNECTIONS, REQUESTS, Crowd, size
from proxy.server.per_client import Clients
from tests.harness import OK, Backend, Client, Gateway, gateway, routes
from tests.server import tls_kit
from tests.server.grpc_kit import file
from tests.server.h2_kit import h2_client
from tests.server.kit import Gate, ask, eventually, is_settled, number, request, send, traces
from tests.server.test_grpc import asked
from tests.server.test_websocket import HANDSHAKE, SWITCHED

NOBODY = "[forwarding]\ntrust = []\n"
FLOOD, OTHER = "127.0.0.2", "127.0.0.3"


def limits(**said: object) -> str:
    table = ", ".join(f"{k} = {v!r}".replace("'", '"') for k, v in said.items())
    return f"{NOBODY}[limits]\nper_client = {{ {table} }}\n"


async def come(gate: Gateway, address: str = FLOOD) -> Client:
    streams = await asyncio.open_connection("127.0.0.1", gate.port, local_addr=(address, 0))
    return Client(*streams)


async def is_served(client: Client) -> bool:
    """False: it was closed without a word."""
    try:
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return (await client.answer()).status == 200
    except (asyncio.IncompleteReadError, ConnectionError):
        return False


async def denied(gate: Gateway, reason: str) -> int:
    await gate.recorded.collect()
    labels = {"spangate_check": "per_client", "spangate_denied_reason": reason}
    return number(gate, "spangate.access.denied", **labels)


def has_nothing(gate: Gateway) -> bool:
    return not gate.worker.clients._clients


# connections


async def test_who_has_enough_is_closed_and_others_do_not_notice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "spangate")
    async with Backend() as backend, gateway(routes(backend, limits(connections=3))) as gate:
        other = await come(gate, OTHER)
        assert await is_served(other)
        kept = [await come(gate) for _ in range(3)]
        assert [await is_served(client) for client in kept] == [True] * 3
        flood = [await come(gate) for _ in range(40)]
        assert [await client.read_all() for client in flood] == [b""] * 40
        assert await is_served(other)
        assert await is_served(await come(gate, OTHER))
        assert await denied(gate, "connections") == 40
        assert number(gate, "spangate.rejected", spangate_reason="per_client_connections") == 40
        said = [r.getMessage() for r in caplog.records if "per_client" in r.getMessage()]
        said += [r.getMessage() for r in caplog.records if "too many" in r.getMessage()]
        assert len(said) == 1 and "127.0.0.2" in said[0]
        await kept.pop().close()
        await eventually(lambda: len(gate.worker._connections) == 4)
        assert await is_served(await come(gate))


async def test_all_is_given_back() -> None:
    async with Backend() as backend, gateway(routes(backend, limits(connections=5))) as gate:
        for _ in range(4):
            clients = [await come(gate) for _ in range(5)]
            assert all([await is_served(client) for client in clients])
            for client in clients[:3]:
                client.vanish()
            for client in clients[3:]:
                await client.close()
            await eventually(lambda: has_nothing(gate))


async def test_over_http2_from_its_preface_and_over_tls(tmp_path: Path) -> None:
    async with Backend() as backend:
        async with gateway(routes(backend, limits(connections=1))) as gate:
            first = await h2_client(gate)
            assert (await first.get("/")).status == 200
            assert not await is_served(await come(gate, "127.0.0.1"))
            first.transport.close()
            await eventually(lambda: has_nothing(gate))
            assert (await (await h2_client(gate)).get("/")).status == 200
        config = routes(backend, tls_kit.listening(tmp_path) + limits(connections=1))
        async with gateway(config) as gate:
            client = await tls_kit.connect(gate)
            assert await is_served(client)
            with pytest.raises((ConnectionError, OSError)):
                await tls_kit.connect(gate)
            await gate.recorded.collect()
            assert number(gate, "spangate.downstream.tls.failed") == 0
            await client.close()
            await eventually(lambda: has_nothing(gate))
            assert await is_served(await tls_kit.connect(gate))


async def test_behind_a_proxy_header_the_address_that_it_names() -> None:
    listen = '[[listen]]\naddress = ":8080"\nproxy_protocol = true\ntrust = ["127.0.0.1"]\n'
    async with (
        Backend() as backend,
        gateway(routes(backend, listen + limits(connections=1))) as gate,
    ):

        async def come_as(address: str) -> Client:
            client = await come(gate, "127.0.0.1")
            client.write(encode("v2", (address, 1), ("198.51.100.1", 443)))
            return client

        first = await come_as("192.0.2.1")
        assert await is_served(first)
        assert not await is_served(await come_as("192.0.2.1"))
        assert await is_served(await come_as("192.0.2.2"))
        assert len(backend.heads) == 2
        await first.close()
        await eventually(lambda: len(gate.worker._connections) == 1)
        assert await is_served(await come_as("192.0.2.1"))
        local = [await come(gate, "127.0.0.1") for _ in range(3)]
        for client in local:  # the load balancer's own
            client.write(b"PROXY UNKNOWN\r\n")
            assert await is_served(client)


async def test_trusted_proxies_have_as_many_as_they_like() -> None:
    config = limits(connections=1, new_connections="1/h")
    config = config.replace("trust = []", 'trust = ["127.0.0.2"]')
    async with Backend() as backend, gateway(routes(backend, config)) as gate:
        assert all([await is_served(await come(gate)) for _ in range(5)])
        assert await is_served(await come(gate, OTHER))
        assert not await is_served(await come(gate, OTHER))


async def test_new_connections_have_a_pace() -> None:
    config = limits(new_connections="3/h")
    async with Backend() as backend, gateway(routes(backend, config)) as gate:
        for _ in range(3):
            client = await come(gate)
            assert await is_served(client)
            await client.close()
        assert not await is_served(await come(gate))
        assert await is_served(await come(gate, OTHER))
        assert await denied(gate, "new_connections") == 1
        await gate.reload(routes(backend, NOBODY))
        assert await is_served(await come(gate))


async def test_connections_that_are_passed_on_as_bytes() -> None:
    async with Backend() as backend:
        config = f"""
{limits(connections=1)}
[[listen]]
address = ":5432"
name = "pg"
protocol = "tcp"
to = "b"
[upstream.b]
servers = ["tcp://127.0.0.1:{backend.port}"]
"""
        async with gateway(config) as gate:
            first = await come(gate)
            assert await is_served(first)
            assert not await is_served(await come(gate))
            assert len(backend.peers) == 1
            await first.close()
            await eventually(lambda: has_nothing(gate))
            assert await is_served(await come(gate))


# requests


async def test_requests_under_way_are_counted_over_all_connections() -> None:
    held = Gate(b"", OK)
    async with Backend(held) as backend, gateway(routes(backend, limits(requests=2))) as gate:
        running = [await come(gate) for _ in range(2)]
        for client in running:
            send(client, "GET", "/")
        await eventually(lambda: len(backend.heads) == 2)
        third = await come(gate)
        answer = await ask(third, "GET", "/")
        assert (answer.status, answer["retry-after"]) == (429, "1")
        other = await come(gate, OTHER)
        send(other, "GET", "/")
        await eventually(lambda: len(backend.heads) == 3)
        held.go.set()
        for client in (*running, other):
            assert (await client.answer()).status == 200
        assert (await ask(third, "GET", "/")).status == 200
        assert await denied(gate, "requests") == 1
        (refused,) = [t for t in await traces(gate, 5) if not t.clients]
        assert refused.about["spangate.denied.reason"] == "requests"
        assert refused.about["spangate.check"] == "per_client"
        (event,) = refused.server.events
        assert event.name == "spangate.access.denied"
        await eventually(lambda: has_nothing(gate))


async def test_the_true_client_counts_and_not_the_proxy() -> None:
    config = limits(requests=1).replace("trust = []", 'trust = ["127.0.0.1"]')
    held = Gate(b"", OK)
    async with Backend(held) as backend, gateway(routes(backend, config)) as gate:
        client = await come(gate, "127.0.0.1")
        send(client, "GET", "/", "X-Forwarded-For: 192.0.2.1")
        await eventually(lambda: len(backend.heads) == 1)
        assert (await gate.get("/", "X-Forwarded-For: 192.0.2.1")).status == 429
        held.go.set()
        assert (await gate.get("/", "X-Forwarded-For: 192.0.2.2")).status == 200
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("how", ["vanished", "reset", "broken", "denied", "too large"])
async def test_however_it_ends_it_is_given_back_once(how: str) -> None:
    async def broken(peer: object) -> None:
        await request(peer)  # type: ignore[arg-type]

    held = Gate(b"", OK)
    route = 'deny = ["127.0.0.9"]\nbody_limit = "1KiB"\nretry = 0'
    async with (
        Backend(broken if how == "broken" else held) as backend,
        gateway(routes(backend, limits(requests=1), route)) as gate,
    ):
        for _ in range(3):
            if how == "broken":
                assert (await ask(await come(gate), "GET", "/")).status == 502
            elif how == "denied":
                assert (await ask(await come(gate, "127.0.0.9"), "GET", "/")).status == 403
            elif how == "too large":
                client = await come(gate)
                assert (await ask(client, "POST", "/", body=b"x" * 2000)).status == 413
            elif how == "reset":
                h2 = await h2_client(gate)
                stream, before = h2.ask(), len(backend.heads)
                await eventually(lambda before=before: len(backend.heads) > before)
                assert (await h2.get("/")).status == 429
                h2.reset(stream)
            else:
                client, before = await come(gate), len(backend.heads)
                send(client, "GET", "/")
                await eventually(lambda before=before: len(backend.heads) > before)
                client.vanish()
            await eventually(lambda: has_nothing(gate))


async def test_a_websocket_is_one_until_it_ends() -> None:
    async def switch(peer: object) -> None:
        await peer.head()  # type: ignore[attr-defined]
        peer.write(SWITCHED)  # type: ignore[attr-defined]
        await peer.rest()  # type: ignore[attr-defined]

    async with Backend(switch) as backend:
        route = 'upgrade = ["websocket"]'
        async with gateway(routes(backend, limits(requests=1), route)) as gate:
            client = await come(gate)
            client.write(HANDSHAKE)
            assert b" 101 " in await client.head()
            assert (await ask(await come(gate), "GET", "/")).status == 429
            await client.close()
            await eventually(lambda: has_nothing(gate))


async def test_a_call_is_told_that_a_resource_is_exhausted() -> None:
    held = Gate(b"", OK)
    async with Backend(held) as backend:
        more = f'[[route]]\npath = "/held"\nto = "h"\n[upstream.h]\nservers = ["{backend.url}"]\n'
        config = file("http://127.0.0.1:9", top=limits(requests=1)) + more
        async with gateway(config) as gate:
            client = await come(gate, "127.0.0.1")
            send(client, "GET", "/held")
            await eventually(lambda: len(backend.heads) == 1)
            got = await asked(gate)
            assert (got.status, got["grpc-status"]) == (200, "8")
            assert got["retry-after"] == "1"


async def test_routes_without_rules_count_too_and_answers_of_the_gateway() -> None:
    more = limits(requests=1) + '[[route]]\npath = "/own"\nrespond = "own"\n'
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        client = await come(gate)
        for _ in range(3):
            assert (await ask(client, "GET", "/own")).status == 200
            assert (await ask(client, "GET", "/")).status == 200
        await client.close()
        await eventually(lambda: is_settled(gate) and has_nothing(gate))


async def test_nobody_is_remembered_where_nothing_is_limited() -> None:
    async with Backend() as backend, gateway(routes(backend, NOBODY)) as gate:
        client = await come(gate)
        assert await is_served(client)
        assert has_nothing(gate)


# several workers


def test_workers_count_together() -> None:
    memory = mmap.mmap(-1, size(2))
    made = []
    for place in range(2):
        limiter = _Limiter()
        clients = Clients(limiter, None)  # type: ignore[arg-type]
        clients.share(Crowd(memory, place))
        made.append(clients)
    one, two = made
    held = [one.begin("192.0.2.1", 3), two.begin("192.0.2.1", 3), two.begin("192.0.2.1", 3)]
    assert all(held)
    assert one.begin("192.0.2.1", 3) is False
    assert two.begin("192.0.2.1", 3) is False
    assert one.begin("192.0.2.2", 3)
    first = held[0]
    assert not isinstance(first, bool)
    one.end(first)
    assert two.begin("192.0.2.1", 3)
    assert one.begin("2001:db8::1", 1) and two.begin("2001:db8::ffff:1", 1) is False
    assert Crowd(memory, 0).others(_Limiter().hashed(b"client=192.0.2.1"), REQUESTS) == 3
    assert Crowd(memory, 0).others(_Limiter().hashed(b"client=192.0.2.1"), CONNECTIONS) == 0


class _Limiter:
    """Hashes as all workers of one gateway do."""

    def hashed(self, key: bytes) -> int:
        return int.from_bytes(key[-8:].rjust(8, b"\1"), "little")
