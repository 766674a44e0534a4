"""What the doctor learns of a sidecar: its application's own calls have a CLIENT span alone."""

from __future__ import annotations

from random import Random

import pytest

from proxy.recent import findings as kinds
from proxy.recent.model import CLIENT, SERVER, Span
from tests.recent.world import BEGAN, MS, World

REMOTE = 0x301  # Span.flags: sampled, and the parent is known to be of another process


def sidecar(rounds: int, copies: bool) -> World:
    """The spans that the sidecar of `orders` records, whose application asks `users` each time."""
    world, random = World({}), Random(7)
    for number in range(rounds):
        at = BEGAN + number * 100 * MS
        trace, server, client = (random.randbytes(n) for n in (16, 8, 8))
        shown = {"spangate.route": "inbound", "spangate.phase.overhead_ms": 0.1}
        to_app = {
            "spangate.upstream": "app", "peer.service": "orders",
            "network.peer.address": "127.0.0.1",
        }  # fmt: skip
        away = {
            "spangate.upstream": "passthrough", "peer.service": "users",
            "network.peer.address": "10.0.0.7",
        }  # fmt: skip
        world.spans += [
            Span(trace, server, b"", kind=SERVER, start=at, end=at + 20 * MS, attributes=shown),
            Span(
                trace, client, server,
                kind=CLIENT, start=at + MS, end=at + 19 * MS, attributes=to_app,
            ),
            Span(
                trace if copies else random.randbytes(16), random.randbytes(8),
                client if copies else b"",
                kind=CLIENT, start=at + 5 * MS, end=at + 15 * MS, attributes=away,
                flags=REMOTE if copies else REMOTE & 0x101,
            ),
        ]  # fmt: skip
    return world


def test_an_application_that_copies_nothing_is_named_by_its_service() -> None:
    found = sidecar(20, copies=False).findings()
    assert [(f.service, f.kind) for f in found] == [("orders", kinds.DROPPED)]


@pytest.mark.parametrize("rounds", [1, 20])
def test_one_that_does_is_not(rounds: int) -> None:
    assert sidecar(rounds, copies=True).findings() == []
