"""A policy that learns hears of each attempt twice: when it begins and how it ended."""

from __future__ import annotations

from collections import Counter

from proxy.upstream.balance import Outcome
from proxy.upstream.endpoint import Endpoint
from tests.harness import OK, Backend, Gateway, gateway
from tests.server.kit import Gate, eventually, is_settled, reply, routing, script, send

ROUTE = '[[route]]\npath = "/*"\nto = "b"\nretry = { times = 1, on = [503], backoff = "0s" }\n'


class Learner:
    """Keeps what it is told."""

    def __init__(self, gate: Gateway) -> None:
        self.active = Counter[str]()
        self.outcomes: list[Outcome] = []
        gate.worker.upstreams["b"].feedback = self
        gate.worker.upstreams.learning = True

    def begin(self, endpoint: Endpoint, now: int) -> None:
        self.active[endpoint.url] += 1

    def end(self, endpoint: Endpoint, outcome: Outcome, ns: int) -> None:
        assert ns > 0
        self.active[endpoint.url] -= 1
        self.outcomes.append(outcome)


async def test_each_attempt_is_told_once() -> None:
    answers = [OK, reply(404), reply(503), OK]
    async with (
        Backend(script(*answers)) as backend,
        gateway(routing({"b": [backend.url]}, ROUTE)) as gate,
    ):
        learner = Learner(gate)
        statuses = [(await gate.get("/x")).status for _ in range(3)]
        await eventually(lambda: is_settled(gate))
    assert statuses == [200, 404, 200]
    names = [outcome.name for outcome in learner.outcomes]
    assert names == ["OK", "CLIENT_ERROR", "SERVER_ERROR", "OK"]
    assert learner.active == {backend.url: 0}


async def test_an_attempt_lasts_until_its_answer_has_ended() -> None:
    half = Gate(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", b"cd")
    async with Backend(half) as backend, gateway(routing({"b": [backend.url]}, ROUTE)) as gate:
        learner = Learner(gate)
        client = await gate.connect()
        send(client, "GET", "/x")
        assert b"200 OK" in await client.head()
        assert learner.active == {backend.url: 1}
        half.go.set()
        await eventually(lambda: learner.outcomes == [Outcome.OK])
        await client.close()
        await eventually(lambda: is_settled(gate))


async def test_a_client_that_leaves_is_not_the_servers_fault() -> None:
    silent = Gate(b"", OK)
    async with Backend(silent) as backend, gateway(routing({"b": [backend.url]}, ROUTE)) as gate:
        learner = Learner(gate)
        client = await gate.connect()
        send(client, "GET", "/x")
        await silent.reached.wait()
        client.vanish()
        await eventually(lambda: learner.outcomes == [Outcome.ABANDONED])
        silent.go.set()
        await eventually(lambda: is_settled(gate))


async def test_a_server_that_refuses_has_failed() -> None:
    async with Backend() as backend:
        config = routing({"b": [backend.url]}, ROUTE)
    async with gateway(config) as gate:
        learner = Learner(gate)
        assert (await gate.get("/x")).status in (502, 503)
    assert learner.outcomes == [Outcome.ERROR, Outcome.ERROR]
