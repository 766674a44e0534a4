"""A second try beside one that takes long, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.http import h2
from proxy.tasks import spawn
from tests.harness import OK, Backend, Gateway, Peer, gateway
from tests.server.h2_backend import H2Backend, Stream
from tests.server.kit import (
    Plain,
    ask,
    attributes,
    eventually,
    eventually_collected,
    is_settled,
    number,
    reply,
    request,
    routing,
)

HEDGED = 'retry = { times = 1, hedge = "20ms", on = [503], budget = 1.0, backoff = "1ms" }'

Handler = Callable[[Peer], Awaitable[None]]


class Two:
    """Two backends of which whoever is asked first does one thing, the other one another."""

    def __init__(self, first: Handler, second: Handler) -> None:
        self._handlers = [first, second]
        self.asked = 0
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []
        self.gone = 0  # connections that the gateway has closed

    async def serve(self, peer: Peer) -> None:
        while True:
            head, body = await request(peer)
            self.heads.append(head)
            self.bodies.append(body)
            number, self.asked = self.asked, self.asked + 1
            await self._handlers[min(number, 1)](peer)

    async def hang(self, peer: Peer) -> None:
        await peer.rest()
        self.gone += 1
        raise ConnectionError


async def ok(peer: Peer) -> None:
    peer.write(OK)


async def bad(peer: Peer) -> None:
    peer.write(reply(503))


async def dies(peer: Peer) -> None:
    peer.reset()
    raise ConnectionError


def config(one: Backend, other: Backend, retry: str = HEDGED) -> str:
    return routing({"b": [one.url, other.url]}, f'[[route]]\nto = "b"\n{retry}')


async def test_the_second_answers_and_the_first_is_given_up() -> None:
    two = Two(ok, ok)
    two._handlers[0] = two.hang
    async with (
        Backend(two.serve) as one,
        Backend(two.serve) as other,
        gateway(config(one, other)) as gate,
    ):
        assert (await gate.get("/x")).status == 200
        await eventually(lambda: two.gone == 1)
        server, tries = await told(gate)
        assert [t.get("spangate.hedge.lost") for t in tries] == [True, None]
        assert [t.get("spangate.retry.reason") for t in tries] == [None, "hedge"]
        assert [t.get("http.request.resend_count") for t in tries] == [None, 1]
        assert tries[0].get("error.type") is None
        assert tries[0]["server.port"] != tries[1]["server.port"]
        assert min(_phases(server)) >= 0
        assert is_settled(gate)
    assert two.asked == 2


async def told(gate: Gateway) -> tuple[dict[str, Plain], list[dict[str, Plain]]]:
    """Attributes of the SERVER span and of its tries, in their order."""
    await eventually_collected(gate, lambda: len(gate.recorded.spans) >= 3)
    spans = sorted(gate.recorded.spans, key=lambda span: span.start_time_unix_nano)
    (server,) = [attributes(span) for span in spans if span.kind == 2]
    return server, [attributes(span) for span in spans if span.kind == 3]


def _phases(server: dict[str, Plain]) -> list[float]:
    return [float(v) for k, v in server.items() if k.startswith("spangate.phase.")]  # type: ignore[arg-type]


async def test_the_first_may_still_win() -> None:
    asked = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await asked.wait()
        peer.write(OK)

    two = Two(slow, ok)

    async def hang(peer: Peer) -> None:
        asked.set()
        await two.hang(peer)

    two._handlers[1] = hang
    async with (
        Backend(two.serve) as one,
        Backend(two.serve) as other,
        gateway(config(one, other)) as gate,
    ):
        assert (await gate.get("/x")).status == 200
        await eventually(lambda: two.gone == 1)
        _, tries = await told(gate)
        assert [t.get("spangate.hedge.lost") for t in tries] == [None, True]


@pytest.mark.parametrize("fails", [bad, dies])
async def test_a_first_that_fails_meanwhile_leaves_it_to_the_other(fails: Handler) -> None:
    second = asyncio.Event()
    failed = asyncio.Event()

    async def fail(peer: Peer) -> None:
        await second.wait()
        failed.set()
        await fails(peer)

    async def answer(peer: Peer) -> None:
        second.set()
        await failed.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        peer.write(OK)

    two = Two(fail, answer)
    async with (
        Backend(two.serve) as one,
        Backend(two.serve) as other,
        gateway(config(one, other)) as gate,
    ):
        assert (await gate.get("/x")).status == 200
        await eventually_collected(gate, lambda: len(gate.recorded.spans) == 3)
    assert two.asked == 2


@pytest.mark.parametrize("fails", [bad, dies])
async def test_a_second_that_fails_changes_nothing(fails: Handler) -> None:
    failed = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await failed.wait()
        peer.write(OK)

    async def fail(peer: Peer) -> None:
        failed.set()
        await fails(peer)

    two = Two(slow, fail)
    async with (
        Backend(two.serve) as one,
        Backend(two.serve) as other,
        gateway(config(one, other)) as gate,
    ):
        assert (await gate.get("/x")).status == 200
        _, tries = await told(gate)
        gone = tries[1].get("spangate.hedge.lost")  # the reset came after the first one's answer
        assert gone or tries[1].get("error.type") in ("503", "connection_reset")


async def test_the_body_goes_to_both() -> None:
    two = Two(ok, ok)
    two._handlers[0] = two.hang
    async with (
        Backend(two.serve) as one,
        Backend(two.serve) as other,
        gateway(config(one, other)) as gate,
    ):
        client = await gate.connect()
        answer = await ask(client, "PUT", "/x", body=b"y" * 3000)
        assert answer.status == 200
        await client.close()
    assert two.bodies == [b"y" * 3000] * 2


@pytest.mark.parametrize(
    ("method", "retry"),
    [
        ("POST", HEDGED),
        ("GET", 'retry = { times = 1, hedge = "20ms", budget = 0.0 }'),
        ("GET", 'retry = { times = 1, hedge = "p95", budget = 1.0 }'),
    ],
)
async def test_what_is_not_asked_for_twice(method: str, retry: str) -> None:
    """By its method, for want of budget, before anything is known."""
    more = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await more.wait()
        peer.write(OK)

    two = Two(slow, ok)
    async with (
        Backend(two.serve) as one,
        Backend(two.serve) as other,
        gateway(config(one, other, retry)) as gate,
    ):
        client = await gate.connect()
        asking = spawn(ask(client, method, "/x", body=b""), "ask")
        await eventually(lambda: two.asked == 1)
        await asyncio.wait([asking], timeout=0.1)
        more.set()
        assert (await asking).status == 200
        await client.close()
    assert two.asked == 1


async def test_a_client_that_leaves_ends_both() -> None:
    two = Two(ok, ok)
    two._handlers = [two.hang, two.hang]
    async with (
        Backend(two.serve) as one,
        Backend(two.serve) as other,
        gateway(config(one, other)) as gate,
    ):
        client = await gate.connect()
        client.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually(lambda: two.asked == 2)
        client.vanish()
        await eventually(lambda: two.gone == 2)
        await eventually(lambda: is_settled(gate))


async def test_there_is_only_one_endpoint() -> None:
    more = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await more.wait()
        peer.write(OK)

    two = Two(slow, ok)
    async with Backend(two.serve) as one:
        text = routing({"b": [one.url]}, f'[[route]]\nto = "b"\n{HEDGED}')
        async with gateway(text) as gate:
            asking = spawn(gate.get("/x"), "ask")
            await eventually(lambda: two.asked == 1)
            await asyncio.wait([asking], timeout=0.1)
            more.set()
            assert (await asking).status == 200
            await eventually_collected(gate, lambda: len(gate.recorded.spans) == 2)
            assert number(gate, "spangate.retries") == 0
    assert two.asked == 1


async def test_streams_of_http2_are_reset_and_connections_stay() -> None:
    asked: list[Stream] = []

    async def serve(stream: Stream) -> None:
        asked.append(stream)
        if len(asked) == 1:
            await stream.closed.wait()
        else:
            stream.ok()

    async with H2Backend(serve) as one, H2Backend(serve) as other:
        more = f'[[route]]\nto = "b"\n{HEDGED}'
        text = routing({"b": [one.url, other.url]}, more) + 'protocol = "h2"\n'
        async with gateway(text) as gate:
            assert (await gate.get("/x")).status == 200
            await eventually(lambda: asked[0].reset == h2.CANCEL)
            assert (await gate.get("/y")).status == 200
            assert len(one.lines) == len(other.lines) == 1
