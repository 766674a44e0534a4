"""Connections that are old enough are asked to leave, in the words of their protocol."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.http import h2
from proxy.kernel.clock import monotonic_ns
from proxy.server.guests import Guests
from tests.harness import Backend, Gateway, gateway, routes
from tests.http.h2_frames import GOAWAY
from tests.server.h2_kit import by_hand, h2_client
from tests.server.kit import Gate, eventually, number

_AGE = '[limits]\nconnection_age = "1h"'
_HOUR = 3600 * 10**9


def grow_old(gate: Gateway, ns: int = 2 * _HOUR) -> None:
    """Look at the ages as if it were so much later."""
    gate.worker._connections.retire(monotonic_ns() + ns)


@pytest.mark.parametrize("old", [True, False])
async def test_the_next_answer_ends_an_old_connection(old: bool) -> None:
    async with Backend() as backend, gateway(routes(backend, _AGE)) as gate:
        client = await gate.connect()
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer())["connection"] == ""
        grow_old(gate, 2 * _HOUR if old else _HOUR // 2)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (200, "close" if old else "")
        assert not old or await client.at_end()


async def test_an_old_connection_of_http2_ends_in_two_steps() -> None:
    async with Backend() as backend, gateway(routes(backend, _AGE)) as gate:
        client = await by_hand(gate.port)
        await client.until(lambda: bool(client.frames))
        grow_old(gate)
        await client.until(lambda: GOAWAY in [kind for kind, *_ in client.frames])
        goaway = next(payload for kind, _, _, payload in client.frames if kind == GOAWAY)
        assert goaway[:8] == b"\x7f\xff\xff\xff" + h2.NO_ERROR.to_bytes(4)
        await gate.recorded.collect()
        why = {"spangate_reason": "connection_age"}
        assert number(gate, "spangate.downstream.goaways", **why) == 1


async def test_what_runs_on_it_is_served() -> None:
    slow = Gate(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    async with Backend(slow) as backend, gateway(routes(backend, _AGE)) as gate:
        client = await h2_client(gate)
        stream = client.ask()
        await eventually(lambda: backend.heads)
        grow_old(gate)
        slow.go.set()
        assert (await client.answer(stream)).body == b"ok"
        await eventually(lambda: not gate.worker._connections)


class _Guest:
    """One that counts how often it was asked."""

    asked = 0

    def retire(self) -> None:
        self.asked += 1


@pytest.mark.parametrize(
    ("age", "random", "after", "asked"),
    [
        (0, 0.5, 10**9, 0),
        (100, 0.5, 99, 0),
        (100, 0.5, 101, 1),
        (100, 0.0, 91, 1),
        (100, 0.999, 109, 0),
        (100, 0.999, 111, 1),
    ],
)
def test_a_tenth_of_jitter(age: float, random: float, after: float, asked: int) -> None:
    guests, guest, heir, now = Guests(), _Guest(), _Guest(), monotonic_ns()
    anyone: Any = guest
    guests.admit(anyone, age, now, lambda: random)
    guests.retire(now + int(after * 1e9))
    if asked:  # once, though it stays
        guests.retire(now + int(after * 2e9))
    assert guest.asked == asked
    anyone = heir
    guests.succeed(next(iter(guests)), anyone)
    assert list(guests) == [heir]
