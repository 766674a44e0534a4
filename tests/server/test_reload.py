"""Another configuration while requests run: these end by the old rules, others begin by new."""

from __future__ import annotations

import asyncio
import socket
import weakref

import pytest

from proxy.config.load import loads
from proxy.config.wire import pack
from proxy.server import endpoints, frames, orders
from proxy.server.endpoints import Change
from proxy.server.ring import Ring, memory_only
from proxy.server.worker import Worker
from tests.harness import OK, Backend, gateway, routes
from tests.server.kit import (
    Gate,
    ask,
    eventually,
    eventually_collected,
    is_settled,
    number,
    reply,
    routing,
    script,
    send,
    trace,
    traces,
)

RULES = """
[[route]]
name = "{0}"
path = "/{{{0}}}"
to = "b"
[route.headers.response]
set = {{ x-rules = "{0}" }}
"""
PLAIN = '[[route]]\npath = "/*"\nto = "b"\n'
OLD, NEW = RULES.format("old"), RULES.format("new")


async def test_a_running_request_ends_by_the_rules_it_began_with() -> None:
    handler = Gate(b"", OK)
    async with (
        Backend(handler) as old,
        Backend() as new,
        gateway(routing({"b": [old.url]}, OLD)) as gate,
    ):
        client = await gate.connect()
        send(client, "GET", "/x")
        await handler.reached.wait()
        await gate.reload(routing({"b": [new.url]}, NEW))
        other = await gate.connect()
        assert (await ask(other, "GET", "/x"))["x-rules"] == "new"
        handler.go.set()
        assert (await client.answer())["x-rules"] == "old"
        # on the connection of the old request too
        assert (await ask(client, "GET", "/x"))["x-rules"] == "new"
        for one in (client, other):
            await one.close()
        found = await traces(gate, 3)
    assert sorted(t.server.name for t in found) == ["GET /{new}", "GET /{new}", "GET /{old}"]
    assert (len(old.heads), len(new.heads)) == (1, 2)


async def test_the_old_upstreams_connections_are_closed() -> None:
    """Idle ones at once, busy ones when they are done."""
    handler = Gate(b"", OK)
    handler.go.set()
    async with (
        Backend(handler) as old,
        Backend() as new,
        gateway(routing({"b": [old.url]}, OLD)) as gate,
    ):
        clients = [await gate.connect() for _ in range(2)]
        for client in clients:
            await ask(client, "GET", "/x")
        send(clients[0], "GET", "/x")
        handler.go.clear()
        handler.reached.clear()
        await handler.reached.wait()
        await gate.reload(routing({"b": [new.url]}, NEW))
        handler.go.set()
        assert (await clients[0].answer()).status == 200
        await eventually(lambda: all(p.writer.is_closing() or at_end(p) for p in old.peers))
        for client in clients:
            await client.close()
        await eventually(lambda: is_settled(gate))
        assert old.port not in {p.port for p in gate.worker._pools.values()}


def at_end(peer: object) -> bool:
    return peer.reader.at_eof()  # type: ignore[attr-defined,no-any-return]


async def test_connections_to_an_upstream_that_stays_are_kept() -> None:
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, OLD)) as gate:
        await gate.get("/x")
        await gate.reload(routing({"b": [backend.url]}, NEW))
        await gate.get("/x")
    assert len(backend.peers) == 1


async def test_gauges_of_a_removed_upstream_fall_to_nothing() -> None:
    async with (
        Backend() as old,
        Backend() as new,
        gateway(routing({"b": [old.url]}, OLD)) as gate,
    ):
        await gate.get("/x")
        await gate.recorded.collect()
        assert number(gate, "http.client.open_connections", server_port=old.port) == 1
        await gate.reload(routing({"b": [new.url]}, NEW))
        await gate.recorded.collect()
        assert number(gate, "http.client.open_connections", server_port=old.port) == 0
        # counters stay
        created = "spangate.upstream.connections.created"
        assert number(gate, created, server_port=old.port) == 1


async def test_a_retry_after_a_reload_goes_to_the_servers_that_are_there_now() -> None:
    retry = 'retry = { times = 1, on = [503], backoff = "1ms" }'
    handler = Gate(b"", reply(503))
    async with Backend(handler) as first, Backend() as second, Backend() as new:
        config = f'[[route]]\npath = "/*"\nto = "b"\n{retry}'
        async with gateway(routing({"b": [first.url, second.url]}, config)) as gate:
            client = await gate.connect()
            send(client, "GET", "/x")
            await handler.reached.wait()
            await gate.reload(routing({"b": [new.url]}, config))
            handler.go.set()
            assert (await client.answer()).status == 200
            await client.close()
            await eventually(lambda: is_settled(gate))
    assert (len(second.heads), len(new.heads)) == (0, 1)


async def test_a_retry_stays_with_an_upstream_that_is_gone() -> None:
    retry = 'retry = { times = 1, on = [503], backoff = "1ms" }'
    handler = Gate(b"", reply(503))
    async with Backend(handler) as first, Backend() as second, Backend() as new:
        config = '[[route]]\npath = "/*"\nto = "%s"\n' + retry
        async with gateway(routing({"b": [first.url, second.url]}, config % "b")) as gate:
            client = await gate.connect()
            send(client, "GET", "/x")
            await handler.reached.wait()
            await gate.reload(routing({"c": [new.url]}, config % "c"))
            handler.go.set()
            assert (await client.answer()).status == 200
            await client.close()
            await eventually(lambda: is_settled(gate))
    assert (len(second.heads), len(new.heads)) == (1, 0)


async def test_a_reload_does_not_fill_a_spent_budget_again() -> None:
    retry = 'retry = { times = 1, on = [503], backoff = "0s" }'
    async with Backend(script(*[reply(503)] * 100)) as backend:
        configs = [routing({"b": [backend.url]}, rules + retry) for rules in (PLAIN, PLAIN + "\n")]
        async with gateway(configs[0]) as gate:
            for number in range(40):
                assert (await gate.get("/x")).status == 503
                if number % 5 == 0:
                    await gate.reload(configs[number % 2])
    # One a second at least, so 10 in the window; as often again after each reload were it new.
    assert 40 < len(backend.heads) <= 40 + 12


async def test_sampling_and_formats_change_with_the_next_request() -> None:
    async with Backend() as backend, gateway(routes(backend, "[tracing]\nsample = 0.0")) as gate:
        client = await gate.connect()
        await ask(client, "GET", "/1")
        await gate.reload(routes(backend, '[tracing]\nsample = 1.0\ninject = ["b3"]'))
        await ask(client, "GET", "/2")
        await client.close()
        await trace(gate)
    assert (backend.field("traceparent", 0) or "").endswith(("-00", "-02"))
    assert backend.field("traceparent", 1) is None
    assert (backend.field("b3", 1) or "").endswith("-1")


async def test_trust_that_is_taken_away_ends_on_open_connections_too() -> None:
    caller = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    lines = [caller, "X-Forwarded-For: 192.0.2.7"]
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        await ask(client, "GET", "/1", *lines)
        await gate.reload(routes(backend, "[tracing]\ntrust = []"))
        await ask(client, "GET", "/2", *lines)
        await client.close()
        first, second = await traces(gate, 2)
    assert first.server.parent_span_id and first.about["client.address"] == "192.0.2.7"
    assert not second.server.parent_span_id and second.about["client.address"] == "127.0.0.1"


async def test_limits_change_with_the_next_request() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/" + "a" * 2000)).status == 200
        await gate.reload(routes(backend, '[limits]\nrequest_line = "1KiB"'))
        assert (await ask(client, "GET", "/" + "a" * 2000)).status == 414
        await client.close()


@pytest.mark.parametrize("probed", [True, False])
async def test_what_probes_found_survives_a_reload(probed: bool) -> None:
    health = "health = {}" if probed else ""
    async with Backend() as one, Backend() as other:
        config = routing({"b": [one.url, other.url]}, '[[route]]\nto = "b"')
        async with gateway(config + "health = {}") as gate:
            for down in endpoints.encode_health([(("b", one.url), False)]):
                gate.recorded.send(frames.ENDPOINTS, down)
            await gate.reload(config + health)
            for _ in range(4):
                await gate.get("/x")
    assert len(one.heads) == (0 if probed else 2)  # nobody would ever say that it is up again


async def test_reloads_under_load_lose_nothing() -> None:
    async with Backend(script(OK)) as one, Backend(script(OK)) as other:
        configs = [routing({"b": [b.url]}, c) for b, c in ((one, OLD), (other, NEW))]
        async with gateway(configs[0]) as gate:
            stop = asyncio.Event()

            async def visit() -> int:
                client = await gate.connect()
                served = 0
                while not stop.is_set():
                    answer = await ask(client, "GET", "/x")
                    assert answer.status == 200
                    served += 1
                await client.close()
                return served

            visitors = [asyncio.get_running_loop().create_task(visit()) for _ in range(4)]
            for i in range(1, 21):
                await gate.reload(configs[i % 2])
            stop.set()
            served = sum(await asyncio.gather(*visitors))
            await eventually(lambda: is_settled(gate))
            await eventually_collected(
                gate, lambda: number(gate, "http.server.request.duration") == served
            )
    assert served == len(one.heads) + len(other.heads)


async def test_a_snapshot_that_cannot_be_applied_changes_nothing_and_says_why() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        before = gate.worker.snapshot
        gate.recorded.send(frames.SNAPSHOT, b"Hno configuration", 2)
        gate.recorded.send(frames.SNAPSHOT, b"E", 2)
        gate.recorded.send(frames.APPLY, items=2)
        await gate.recorded.until(lambda: bool(gate.recorded.refused))
        (generation, why), *rest = gate.recorded.refused
        assert generation == 2 and why and not rest
        assert (await gate.get("/")).status == 200
        assert gate.worker.snapshot is before and not gate.worker.failed
        await gate.reload(routes(backend))
        assert gate.worker.snapshot is not before


async def test_what_was_prepared_can_be_forgotten() -> None:
    async with (
        Backend() as old,
        Backend() as new,
        gateway(routing({"b": [old.url]}, OLD)) as gate,
    ):
        config = loads(routing({"b": [new.url]}, NEW), "test.toml", {}).config
        for message in pack(config):
            gate.recorded.send(frames.SNAPSHOT, message, 2)
        await gate.recorded.until(lambda: gate.recorded.events.count(frames.PREPARED) == 2)
        assert (await gate.get("/x"))["x-rules"] == "old"
        gate.recorded.send(frames.FORGET, items=2)
        gate.recorded.send(frames.APPLY, items=2)
        await gate.recorded.collect()
        assert (await gate.get("/x"))["x-rules"] == "old"
    assert (len(old.heads), len(new.heads)) == (2, 0)


async def test_orders_act_in_the_order_in_which_they_come() -> None:
    """Health that is told behind a configuration belongs to it, though compiling takes longer."""
    async with Backend() as one, Backend() as other, gateway(routes(one)) as gate:
        config = routing({"b": [one.url], "c": [one.url, other.url]}, '[[route]]\nto = "c"')
        gate.recorded.configure(loads(config + "health = {}", "test.toml", {}).config, 2)
        for down in endpoints.encode_health([(("c", one.url), False)]):
            gate.recorded.send(frames.ENDPOINTS, down)
        await gate.recorded.until(lambda: gate.recorded.events.count(frames.APPLIED) == 2)
        await gate.reload(config + "health = {}")
        for _ in range(4):
            await gate.get("/x")
    assert (len(one.heads), len(other.heads)) == (0, 4)


async def test_a_new_worker_knows_who_is_down_before_it_accepts() -> None:
    async with Backend() as one, Backend() as other:
        config = routing({"b": [one.url, other.url]}, '[[route]]\nto = "b"') + "health = {}"
        news = endpoints.encode_health([(("b", one.url), False), (("x", one.url), False)])
        async with gateway(config, news) as gate:
            for _ in range(4):
                assert (await gate.get("/x")).status == 200
    assert (len(one.heads), len(other.heads)) == (0, 4)


async def test_endpoints_come_and_go_without_a_configuration() -> None:
    async with Backend() as one, Backend() as other, gateway(routes(one)) as gate:
        changes = {
            "b": {
                one.url: Change(removed=True),
                other.url: Change(added=True, weight=2),
                "ftp://x": Change(added=True),
                "http://unknown:1": Change(up=False),
            },
            "unknown": {other.url: Change(up=False)},
        }
        await gate.get("/x")
        gate.recorded.send(frames.ENDPOINTS, b"\xc1 no message at all")
        gate.recorded.send(frames.ENDPOINTS, endpoints.encode(changes))
        await gate.reload(routes(one, "[tracing]\nsample = 0.5"))
        # A file that says the same about the upstream brings nothing back.
        assert set(gate.worker.upstreams["b"].endpoints) == {other.url}
        for _ in range(3):
            assert (await gate.get("/x")).status == 200
    assert (len(one.heads), len(other.heads)) == (1, 3)


async def test_requests_are_answered_while_a_large_configuration_is_compiled() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        text = "".join(f'[[route]]\npath = "/{i}"\nto = "http://a:{i + 1}"\n' for i in range(3000))
        large = list(pack(loads(text, "test.toml", {}).config))
        client = await gate.connect()
        assert (await ask(client, "GET", "/x")).status == 200
        for message in large:
            gate.recorded.send(frames.SNAPSHOT, message, 2)
        answered = 0
        while gate.recorded.events.count(frames.PREPARED) == 1:
            assert (await ask(client, "GET", "/x")).status == 200
            answered += 1
        assert answered > 5
        await client.close()


async def test_a_server_that_two_upstreams_share_has_connections_of_each() -> None:
    """How they are made is said by the upstream: TLS, protocol, PROXY header."""
    both = '[[route]]\npath = "/b"\nto = "b"\n[[route]]\npath = "/c"\nto = "c"\n'
    one = '[[route]]\npath = "/*"\nto = "c"\n'
    async with Backend() as backend:
        urls = [backend.url]
        async with gateway(routing({"b": urls, "c": urls}, both)) as gate:
            await gate.get("/b")
            await gate.get("/c")
            await gate.reload(routing({"c": urls}, one))
            await gate.get("/c")
    assert len(backend.peers) == 2


async def test_an_old_snapshot_is_freed_when_its_last_request_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orders, "RETIRE", 0.01)
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routing({"b": [backend.url]}, OLD)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await handler.reached.wait()
        before = weakref.ref(gate.worker.snapshot)
        await gate.reload(routing({"b": [backend.url]}, NEW))
        assert before() is not None
        handler.go.set()
        assert (await client.answer())["x-rules"] == "old"
        await client.close()
        await eventually(lambda: before() is None)


async def test_a_worker_without_any_snapshot_ends() -> None:
    worker = Worker(0, Ring(memory_only()), {})
    hub, link = socket.socketpair()
    with hub:
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: worker.link, sock=link)
        hub.send(frames.encode(frames.SNAPSHOT, b"Hno configuration", 1))
        async with asyncio.timeout(20):
            await worker.stopped.wait()
        assert worker.failed
        worker.halt()
