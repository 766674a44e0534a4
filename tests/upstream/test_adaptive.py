"""The adaptive limit before simulated servers: places that take a time each, and a queue."""

from __future__ import annotations

import heapq
import random
from collections import deque

import pytest

from proxy.upstream.adaptive import LEAST, Gradient

MS = 1_000_000
SECOND = 1000 * MS


class Servers:
    """`places` requests at once, each for `took` ns; what comes besides waits there."""

    def __init__(self, places: int, took: int, spread: float = 0.0) -> None:
        self.places, self.took, self.spread = places, took, spread
        self.gradient = Gradient()
        self.now = SECOND
        self.answers = 0
        self.latencies: list[int] = []
        self._random = random.Random(7)
        self._busy: list[tuple[int, int]] = []  # (ends, was let in at)
        self._queue: deque[int] = deque()
        self._next = self.now

    def run(self, seconds: float, rate: float) -> float:
        """Requests come `rate` times a second; how many were answered a second."""
        end, before = self.now + int(seconds * SECOND), self.answers
        self.latencies.clear()
        while self.now < end:
            ends = self._busy[0][0] if self._busy else end + SECOND
            if ends <= self._next:
                self._answer()
            else:
                self._ask(rate)
        return (self.answers - before) / seconds

    def _ask(self, rate: float) -> None:
        self.now = self._next
        self._next += int(self._random.expovariate(rate) * SECOND)
        active = len(self._busy) + len(self._queue)
        self.gradient.saw(active + 1)
        if active + 1 <= self.gradient.limit:
            self._queue.append(self.now)
            self._start()

    def _start(self) -> None:
        while self._queue and len(self._busy) < self.places:
            took = int(self.took * self._random.uniform(1 - self.spread, 1 + self.spread))
            heapq.heappush(self._busy, (self.now + took, self._queue.popleft()))

    def _answer(self) -> None:
        self.now, since = heapq.heappop(self._busy)
        self.answers += 1
        self.latencies.append(self.now - since)
        self._start()
        gradient = self.gradient
        gradient.ended(self.now - since, self.now, True, gradient.limit)

    def p99(self) -> float:
        return sorted(self.latencies)[len(self.latencies) * 99 // 100] / self.took


@pytest.mark.parametrize("spread", [0.0, 0.5])
@pytest.mark.parametrize("places", [8, 16, 64, 400])
@pytest.mark.parametrize("over", [1.5, 3.0, 10.0])
def test_an_overload_keeps_servers_busy_and_answers_quick(
    places: int, over: float, spread: float
) -> None:
    servers = Servers(places, 20 * MS, spread)
    capacity = places / 0.020
    servers.run(5, capacity * over)
    assert servers.run(20, capacity * over) >= 0.85 * capacity
    assert servers.p99() <= (2.0 if places > 8 else 3.0) * (1 + spread)


def test_it_finds_the_way_back_when_servers_have_become_slower() -> None:
    servers = Servers(32, 10 * MS)
    servers.run(5, 9600)
    servers.took = 50 * MS
    servers.run(15, 9600)
    assert servers.run(10, 9600) >= 0.9 * 32 / 0.050


def test_it_finds_the_way_down_when_places_are_lost() -> None:
    servers = Servers(64, 10 * MS)
    servers.run(5, 19200)
    servers.places = 16
    servers.run(20, 19200)
    servers.run(5, 19200)
    assert servers.p99() <= 2.5


def test_a_start_in_an_overload_is_no_base_for_ever() -> None:
    servers = Servers(4, 20 * MS)
    servers.run(60, 600)
    assert servers.run(10, 600) >= 0.85 * 4 / 0.020
    assert servers.p99() <= 4.0  # with four places √limit is much


def test_who_uses_little_of_it_is_left_alone() -> None:
    servers = Servers(64, 10 * MS)
    servers.run(30, 100)
    assert servers.gradient.limit <= 200
    assert servers.gradient.limit >= LEAST


def test_failures_that_come_quickly_teach_nothing() -> None:
    gradient = Gradient()
    for number in range(1000):
        now = SECOND + number * MS
        assert not gradient.ended(MS, now, False, gradient.limit) or gradient.base == MS
    base = gradient.base
    for number in range(1000):
        gradient.ended(MS // 10, 5 * SECOND + number * MS, False, gradient.limit)
    assert gradient.base == base
