"""Upstreams with `limits` over real sockets: what is let in, waits, or is refused; that nothing is
held any more when all is over."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.harness import OK, Answer, Backend, Client, Gateway, Peer, gateway
from tests.server.kit import (
    attributes,
    eventually,
    number,
    refusing,
    reply,
    request,
    routing,
    script,
    send,
    trace,
    traces,
)

NOTHING = dict.fromkeys(("requests", "pending", "retries", "connections", "flying"), 0)


class Holding:
    """A handler that answers when it is told to, one request for each `let`."""

    def __init__(self, answer: bytes = OK) -> None:
        self.asked = 0
        self.paths: list[str] = []
        self._go = asyncio.Semaphore(0)
        self._answer = answer

    async def __call__(self, peer: Peer) -> None:
        while True:
            head, _ = await request(peer)
            self.asked += 1
            self.paths.append(head.split()[1].decode())
            await self._go.acquire()
            peer.write(self._answer)

    def let(self, count: int = 1) -> None:
        for _ in range(count):
            self._go.release()


def config(url: str, limits: str, more: str = "", route: str = "") -> str:
    routes = f"""{more}
[[route]]
path = "/high"
to = "u"
priority = "high"
[[route]]
path = "/low"
to = "u"
priority = "low"
[[route]]
path = "/*"
to = "u"
{route}
"""
    return routing({"u": [url]}, routes) + f"limits = {{ {limits} }}\n"


def held(gate: Gateway) -> dict[str, int]:
    bounds = gate.worker.upstreams["u"].bounds
    assert bounds is not None
    return bounds.own()


async def settled(gate: Gateway) -> None:
    """Nothing is held but connections that are idle."""
    await eventually(lambda: {**held(gate), "connections": 0} == NOTHING)


async def asking(gate: Gateway, path: str = "/x", *lines: str) -> Client:
    client = await gate.connect()
    send(client, "GET", path, *lines)
    return client


def refused_by(answer: Answer, limit: str) -> None:
    assert answer.status == 503
    assert answer["retry-after"] == "1"
    said = answer["proxy-status"]
    start = f'spangate; error=connection_limit_reached; details="limit \\"{limit}\\" of upstream u'
    assert said.startswith(start), said


async def test_what_is_too_much_is_refused_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    handler = Holding()
    async with Backend(handler) as backend, gateway(config(backend.url, "requests = 2")) as gate:
        first = [await asking(gate) for _ in range(2)]
        await eventually(lambda: handler.asked == 2)
        refused_by(await gate.get("/x"), "requests")
        refused_by(await gate.get("/low"), "requests")
        handler.let(2)
        assert [(await c.answer()).status for c in first] == [200, 200]
        await settled(gate)
        handler.let()
        assert (await gate.get("/x")).status == 200
        seen = [t for t in await traces(gate, 5) if t.about.get("error.type")]
        assert {t.about["error.type"] for t in seen} == {"upstream_overloaded"}
        assert seen[0].about["spangate.overload.limit"] == "requests"
        assert seen[0].about["spangate.overload.priority"] == "normal"
        assert seen[1].about["spangate.overload.priority"] == "low"
        assert not any(t.clients for t in seen)
        low = number(gate, "spangate.upstream.shed", spangate_priority="low")
        assert (low, number(gate, "spangate.upstream.shed", spangate_limit="requests")) == (1, 2)
    said = [r.getMessage() for r in caplog.records if "are refused" in r.getMessage()]
    begin = 'upstream u: requests are refused: limit "requests" (2) is reached'
    assert said == [begin + "; 2 are under way, 0 wait"]


async def test_who_waits_is_served_in_order_of_priority() -> None:
    handler = Holding()
    limits = "requests = 1, pending = 3"
    async with Backend(handler) as backend, gateway(config(backend.url, limits)) as gate:
        waiting = [await asking(gate, "/first")]
        await eventually(lambda: handler.asked == 1)
        for place, path in enumerate(("/low", "/normal", "/high"), 1):
            waiting.append(await asking(gate, path))
            await eventually(lambda place=place: held(gate)["pending"] == place)
        handler.let(4)
        assert [(await c.answer()).status for c in waiting] == [200] * 4
        assert handler.paths == ["/first", "/high", "/normal", "/low"]
        await settled(gate)
        queued = (await traces(gate, 4))[-1].about["spangate.phase.queue_ms"]
        assert isinstance(queued, float) and queued > 0


async def test_a_full_queue_sends_away_who_matters_least() -> None:
    handler = Holding()
    limits = "requests = 1, pending = 1"
    async with Backend(handler) as backend, gateway(config(backend.url, limits)) as gate:
        first = await asking(gate)
        await eventually(lambda: handler.asked == 1)
        low = await asking(gate, "/low")
        await eventually(lambda: held(gate)["pending"] == 1)
        high = await asking(gate, "/high")
        refused_by(await low.answer(), "pending")
        refused_by(await gate.get("/x"), "pending")
        handler.let(2)
        assert [(await c.answer()).status for c in (first, high)] == [200, 200]
        await settled(gate)


async def test_a_client_that_leaves_leaves_the_queue() -> None:
    handler = Holding()
    limits = "requests = 1, pending = 1"
    async with Backend(handler) as backend, gateway(config(backend.url, limits)) as gate:
        first = await asking(gate)
        await eventually(lambda: handler.asked == 1)
        gone = await asking(gate)
        await eventually(lambda: held(gate)["pending"] == 1)
        gone.vanish()
        await eventually(lambda: held(gate)["pending"] == 0)
        second = await asking(gate)
        await eventually(lambda: held(gate)["pending"] == 1)
        handler.let(2)
        assert [(await c.answer()).status for c in (first, second)] == [200, 200]
        assert handler.asked == 2
        await settled(gate)


@pytest.mark.parametrize(
    ("more", "status"),
    [('connect_timeout = "50ms"', 503), ('timeout = "100ms"', 504)],
    ids=["its own time", "the route's"],
)
async def test_nobody_waits_for_ever(more: str, status: int) -> None:
    handler = Holding()
    async with Backend(handler) as backend:
        text = config(backend.url, "requests = 1, pending = 5", f"[defaults]\n{more}")
        async with gateway(text) as gate:
            first = await asking(gate, "/hold")
            await eventually(lambda: handler.asked == 1)
            answer = await gate.get("/x")
            assert answer.status == status
            if status == 503:
                refused_by(answer, "requests")
            first.vanish()
            await settled(gate)


async def test_connections_are_bounded_and_waited_for() -> None:
    handler = Holding()
    limits = "connections = 2, pending = 2"
    async with Backend(handler) as backend, gateway(config(backend.url, limits)) as gate:
        waiting = [await asking(gate) for _ in range(2)]
        await eventually(lambda: handler.asked == 2)
        waiting += [await asking(gate, "/low"), await asking(gate, "/high")]
        await eventually(lambda: held(gate)["pending"] == 2)
        refused_by(await gate.get("/low"), "pending")
        handler.let(4)
        assert [(await c.answer()).status for c in waiting] == [200] * 4
        assert handler.paths[2:] == ["/high", "/low"]
        assert len(backend.peers) == 2
        await settled(gate)
        assert held(gate)["connections"] == 2
        shed = [t for t in await traces(gate, 5) if t.about.get("error.type")]
        assert len(shed) == 1 and not shed[0].clients  # no server is blamed for it


async def test_an_idle_connection_to_another_server_makes_room() -> None:
    async with Backend() as one, Backend() as other:
        text = config(one.url, "connections = 1").replace(
            f"'{one.url}'", f"'{one.url}', '{other.url}'"
        )
        async with gateway(text) as gate:
            for _ in range(4):
                assert (await gate.get("/x")).status == 200
            assert {len(one.heads), len(other.heads)} == {2}
            assert held(gate)["connections"] == 1


async def test_connections_that_cannot_be_made_are_not_counted() -> None:
    with refusing() as url:
        async with gateway(
            config(url, "connections = 1, requests = 1", "[defaults]\nretry = 0")
        ) as gate:
            assert [(await gate.get("/x"))["proxy-status"] for _ in range(3)] == [
                "spangate; error=connection_refused"
            ] * 3
            await eventually(lambda: held(gate) == NOTHING)


async def test_retries_are_bounded() -> None:
    limits = "retries = 1"
    retry = 'retry = { times = 1, on = [503], backoff = "5s" }'
    async with (
        Backend(script(reply(503))) as backend,
        gateway(config(backend.url, limits, route=retry)) as gate,
    ):
        pausing = await asking(gate)
        await eventually(lambda: held(gate)["retries"] == 1)
        answer = await gate.get("/x")
        assert (answer.status, answer["proxy-status"]) == (503, "")
        assert number(gate, "spangate.upstream.shed") == 0  # not told yet
        last = await trace(gate)
        assert len(last.clients) == 1
        assert last.about["spangate.overload.limit"] == "retries"
        pausing.vanish()
        await settled(gate)
        assert number(gate, "spangate.upstream.shed", spangate_limit="retries") == 1


async def test_a_request_that_is_tried_again_counts_once() -> None:
    retry = 'retry = { times = 3, on = [503], backoff = "1ms" }'
    answers = script(reply(503), reply(503), reply(200))
    async with (
        Backend(answers) as backend,
        gateway(config(backend.url, "requests = 1, retries = 1", route=retry)) as gate,
    ):
        assert (await gate.get("/x")).status == 200
        await settled(gate)


@pytest.mark.parametrize(
    "broken",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b"nonsense\r\n\r\n", reply(500)],
    ids=["reset", "half an answer", "no HTTP", "500"],
)
async def test_whatever_goes_wrong_gives_back_what_it_held(broken: bytes) -> None:
    async def handle(peer: Peer) -> None:
        await request(peer)
        peer.write(broken)

    limits = "requests = 1, connections = 1, pending = 1, retries = 1, adaptive = true"
    async with Backend(handle) as backend, gateway(config(backend.url, limits)) as gate:
        for _ in range(3):
            client = await asking(gate, "/x", "Connection: close")
            await client.read_all()
        await eventually(lambda: held(gate) == NOTHING)


async def test_who_waits_is_answered_when_the_gateway_stops() -> None:
    handler = Holding()
    more = 'drain_timeout = "200ms"'
    limits = "requests = 1, pending = 1"
    async with (
        Backend(handler) as backend,
        gateway(more + "\n" + config(backend.url, limits)) as gate,
    ):
        await asking(gate)
        await eventually(lambda: handler.asked == 1)
        waiting = await asking(gate)
        await eventually(lambda: held(gate)["pending"] == 1)
        gate.worker.drain()
        assert (await waiting.answer()).status == 503
        await settled(gate)


@pytest.mark.parametrize(
    ("after", "asked"),
    [("limits = { requests = 2 }", 2), ("", 2), ("limits = { requests = 1, pending = 9 }", 1)],
    ids=["more", "none", "the same"],
)
async def test_limits_that_a_reload_changes_hold_for_those_who_wait(after: str, asked: int) -> None:
    handler = Holding()
    async with Backend(handler) as backend:
        text = config(backend.url, "requests = 1, pending = 1")
        async with gateway(text) as gate:
            clients = [await asking(gate)]
            await eventually(lambda: handler.asked == 1)
            clients.append(await asking(gate))
            await eventually(lambda: held(gate)["pending"] == 1)
            await gate.reload(text.replace("limits = { requests = 1, pending = 1 }", after))
            await eventually(lambda: handler.asked == asked)
            handler.let(2)
            assert [(await c.answer()).status for c in clients] == [200, 200]
            await settled(gate)


async def test_an_upstream_that_is_gone_lets_go_who_waits() -> None:
    handler = Holding()
    async with Backend(handler) as backend:
        text = config(backend.url, "requests = 1, pending = 1")
        async with gateway(text) as gate:
            old = gate.worker.upstreams["u"].bounds
            clients = [await asking(gate)]
            await eventually(lambda: handler.asked == 1)
            clients.append(await asking(gate))
            await eventually(lambda: held(gate)["pending"] == 1)
            other = text.replace('"u"', '"v"').replace("upstream.u", "upstream.v")
            await gate.reload(other)
            handler.let(2)
            assert [(await c.answer()).status for c in clients] == [200, 200]
            await eventually(lambda: {**old.own(), "connections": 0} == NOTHING)  # type: ignore[union-attr]


async def test_a_body_waits_with_its_request() -> None:
    handler = Holding()
    limits = "requests = 1, pending = 1"
    async with Backend(handler) as backend, gateway(config(backend.url, limits)) as gate:
        first = await asking(gate)
        await eventually(lambda: handler.asked == 1)
        second = await gate.connect()
        body = b"x" * 200_000
        send(second, "POST", "/x", body=body)
        await eventually(lambda: held(gate)["pending"] == 1)
        handler.let(2)
        assert [(await c.answer()).status for c in (first, second)] == [200, 200]
        assert backend.peers[-1].received.endswith(body) or backend.peers[0].received.endswith(body)
        await settled(gate)


async def test_a_route_to_another_upstream_has_no_bounds() -> None:
    async with Backend() as backend, gateway(routing({"u": [backend.url]}, ROUTE)) as gate:
        assert (await gate.get("/x")).status == 200
        assert gate.worker.upstreams["u"].bounds is None
        assert "spangate.overload.limit" not in attributes((await trace(gate)).server)


ROUTE = '[[route]]\npath = "/*"\nto = "u"\n'
