"""A request against the rate limits of its route, before its upstream is chosen.

Where they are counted is in `limiter.py`. Limits are asked in their order, and each that lets the
request in has counted it, also where one behind it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.kernel.clock import monotonic_ns, time_ns
from proxy.server.attempts import EVENT
from proxy.server.rates import RateLimited, Rates, Rule, fields
from proxy.server.story import Story
from proxy.telemetry import instruments
from proxy.telemetry.facts import Exchange, Told

DENIED = "spangate.denied.reason"


class Wait:
    """One story that waits for Redis, or finds that it need not."""

    __slots__ = ("asleep", "has_come", "owed", "story")

    def __init__(self, story: Story) -> None:
        self.story = story
        self.owed: int | None = None
        self.has_come = False
        self.asleep = False

    def came(self, owed: int | None) -> None:
        self.owed = owed
        self.has_come = True
        if self.asleep:
            self.asleep = False
            self.story.on_paused_enough()


class Check:
    """One request against its route's limits, in their order."""

    __slots__ = ("_captures", "_limiter", "_story", "_told")

    def __init__(self, story: Story, captures: Mapping[str, str]) -> None:
        self._story = story
        self._captures = captures
        self._limiter = story.worker.limiter
        self._told: list[tuple[bytes, bytes]] = []

    def key(self, rule: Rule) -> bytes:
        x, absent = self._story.x, rule.absent
        key = rule.key(self._story.head, self._captures, x.client)
        if rule.absent != absent:
            self._limiter.count(instruments.RATE_KEYLESS, rule)
        return key

    def judge(self, rule: Rule, owed: int) -> None:
        """Raises RateLimited where it is too much."""
        admitted = owed <= rule.most
        if rule.headers:
            self._told.append(rule.told(owed, admitted))
        x = self._story.x
        if admitted:
            _told(x).rate = fields(self._told, 0)
            return
        _told(x).rate = fields(self._told, rule.retry_after(owed))
        raise self.denied(rule, RateLimited(rule))

    def denied(self, rule: Rule, error: RateLimited) -> RateLimited:
        x = self._story.x
        x.captured.append((DENIED, error.which))
        _told(x).denied = ("rate_limit", "rate_limited", time_ns())
        self._limiter.count_denied(rule)
        self._limiter.deny(rule, monotonic_ns())
        return error

    def without_redis(self, rule: Rule, key: bytes) -> int:
        try:
            return self._limiter.without_redis(rule, key)
        except RateLimited as error:
            _told(self._story.x).rate = fields(self._told, 1)
            raise self.denied(rule, error) from None


def _told(x: Exchange) -> Told:
    if x.told is None:
        x.told = Told()
    return x.told


def check(story: Story, rates: Rates, captures: Mapping[str, str]) -> None:
    """Where all is counted on this host. Raises RateLimited."""
    if rates.shared:
        return
    made = Check(story, captures)
    for rule in rates.rules:
        made.judge(rule, story.worker.limiter.take(rule, made.key(rule)))


async def shared(story: Story) -> None:
    """Where Redis counts, which takes its time. Raises RateLimited."""
    entry = story.entry
    if entry is None or entry.rates is None or not entry.rates.shared:
        return
    host = story.snapshot.host(story.head.authority)[0]
    made = Check(story, story.snapshot.match(story.head, host)[1])
    limiter = story.worker.limiter
    for rule in entry.rates.rules:
        key = made.key(rule)
        if rule.scope != "shared":
            made.judge(rule, limiter.take(rule, key))
            continue
        wait = Wait(story)
        limiter.ask(rule, key, wait.came)
        while not wait.has_come:
            wait.asleep = True
            await EVENT
        made.judge(rule, made.without_redis(rule, key) if wait.owed is None else wait.owed)
