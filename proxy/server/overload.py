"""Requests before the bounds of their upstream: let in, waiting or refused, and what is said of it.

What is allowed is decided in `upstream/bounds.py`; here are the stories that wait, the errors that
tell which limit it was, the counter of refusals, and two lines in the log: when an upstream begins
to refuse, and when it has stopped. Nobody has a timer: who waits is served in the turn of the loop
in which something ended here, and while anybody waits one timer of the worker looks what ended in
others.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from proxy.errors import Overloaded, ProxyError
from proxy.kernel.clock import monotonic_ns
from proxy.kernel.step import Event
from proxy.server.h2_pool import SharedPool
from proxy.telemetry import instruments
from proxy.upstream.bounds import Bounds
from proxy.upstream.waiting import NAMES, Standing, Ticket

if TYPE_CHECKING:
    from proxy.server.snapshot import Target
    from proxy.server.story import Story
    from proxy.telemetry.facts import Attempt

LOOK = 0.005  # seconds between two looks at what has ended in other workers
LIMIT, PRIORITY = "spangate.overload.limit", "spangate.overload.priority"  # of a SERVER span
_QUIET = 5_000_000_000  # ns without a refusal until an upstream has stopped refusing
REPLAY = 64 * 1024  # bytes of a body that do not count as slow
_LONGEST = 120_000_000_000  # ns that a request waits where the configuration says "no limit"

log = logging.getLogger("spangate")
EVENT = Event()


class Refused(Overloaded):
    """As much is under way at an upstream as its `limits` allow: 503 (RFC 9110 §15.6.4)."""

    error_type = "upstream_overloaded"
    lines = ((b"retry-after", b"1"),)

    def __init__(self, upstream: str, which: str, why: str = "") -> None:
        self.which = f'limit "{which}" of upstream {upstream}' + (f": {why}" if why else "")
        super().__init__(self.which)


class Episode:
    """A time in which an upstream refuses."""

    __slots__ = ("counts", "last", "since")

    def __init__(self, now: int) -> None:
        self.since = self.last = now
        self.counts: dict[tuple[str, str], int] = {}  # (limit, priority) -> requests


class Overload:
    """One for a worker."""

    __slots__ = ("_awaited", "_episodes", "_freed", "_looks", "_registry")

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        self._awaited: dict[Bounds, None] = {}  # those at which somebody waits
        self._freed: dict[Bounds, None] = {}  # of these, where a place has become free
        self._looks = False
        self._episodes: dict[str, Episode] = {}  # by upstream

    # a request

    def admit(self, story: Story, target: Target) -> bool:
        """Whether it may go on at once; False: it has to wait. Raises Refused."""
        bounds = target.bounds
        if story.ticket is not None:  # of the upstream before, where a page of errors is asked for
            self.left(story.ticket)
        ticket = story.ticket = Ticket(bounds, target.priority, story)
        now = monotonic_ns()
        self.queued(story, ticket, bounds.enter(ticket, now), now)
        return ticket.standing is Standing.IN

    def queued(self, story: Story, ticket: Ticket, which: str, now: int) -> None:
        """After it was told to wait, or `which` limit is against it. Raises Refused."""
        target, bounds = story.target, ticket.bounds
        assert target is not None
        if which:
            raise self.refuse(story, ticket, which)
        if ticket.standing is Standing.WAITS:
            ticket.until = now + (int(target.connect * 1e9) or _LONGEST)
            self._awaited[bounds] = None
            self._begin_to_look()
            evicted, bounds.evicted = bounds.evicted, []
            for other in evicted:
                self._send_away(other, "pending", "others matter more")

    def refuse(self, story: Story, ticket: Ticket, which: str, why: str = "") -> Refused:
        """Count it and say so."""
        target = story.target
        assert target is not None
        priority, name = NAMES[ticket.priority], target.name
        labels = (("spangate.limit", which), ("spangate.priority", priority))
        self._registry.number(instruments.SHED, (*labels, ("spangate.upstream", name))).value += 1
        story.x.captured += [(LIMIT, which), (PRIORITY, priority)]
        now = monotonic_ns()
        episode = self._episodes.get(name)
        if episode is None:
            episode = self._episodes[name] = Episode(now)
            active, pending = ticket.bounds.total()
            text = "upstream %s: requests are refused: limit %s is reached; %d are under way, "
            log.warning(
                text + "%d wait",
                name,
                _said(ticket.bounds, which),
                active,
                pending,
                extra={"key": "overload.refusing"},
            )
        episode.last = now
        key = (which, priority)
        episode.counts[key] = episode.counts.get(key, 0) + 1
        return Refused(name, which, why)

    def left(self, ticket: Ticket) -> None:
        """Its request is over."""
        bounds = ticket.bounds
        if bounds.leave(ticket, monotonic_ns()):
            if not self._freed:
                asyncio.get_running_loop().call_soon(self._serve_freed)
            self._freed[bounds] = None

    def may_retry(self, story: Story) -> bool:
        """Whether one more request may be tried again; it is counted if not."""
        ticket = story.ticket
        if ticket is None or ticket.bounds.may_retry(ticket):
            return True
        self.refuse(story, ticket, "retries")
        return False

    # who waits

    def _serve_freed(self) -> None:
        freed, self._freed = self._freed, {}
        now = monotonic_ns()
        for bounds in freed:
            self._serve(bounds, now, True)

    def _serve(self, bounds: Bounds, now: int, freed: bool) -> None:
        while True:
            line = bounds.lines.first()
            if line is None:
                break
            line.story.on_paused_enough()
            if bounds.lines.first() is line:
                break
        while (ticket := bounds.next(now, freed)) is not None:
            ticket.story.on_paused_enough()
        if not bounds.is_awaited():
            self._awaited.pop(bounds, None)

    def _begin_to_look(self) -> None:
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(LOOK, self._look)

    def _look(self) -> None:
        self._looks = False
        now = monotonic_ns()
        for bounds in list(self._awaited):
            for ticket in bounds.late(now):
                which = "requests" if ticket in bounds.turns else "connections"
                self._send_away(ticket, which, "no turn in time")
            self._serve(bounds, now, False)
        if self._awaited:
            self._begin_to_look()

    def _send_away(self, ticket: Ticket, which: str, why: str) -> None:
        story = ticket.story
        story.on_connect_failed(self.refuse(story, ticket, which, why))

    # the log

    def sum_up(self, now: int) -> None:
        """Say where refusing has ended; a few times a second."""
        for name, episode in list(self._episodes.items()) if self._episodes else ():
            if now - episode.last < _QUIET:
                continue
            del self._episodes[name]
            many = sum(episode.counts.values())
            which, whose = _shares(episode, 0), _shares(episode, 1)
            seconds = (episode.last - episode.since) / 1e9
            text = "upstream %s: requests are refused no longer: %d were in %.1f s (by limit: %s; "
            log.warning(
                text + "by priority: %s)",
                name,
                many,
                seconds,
                which,
                whose,
                extra={"key": "overload.over"},
            )


async def turn(story: Story) -> None:
    """Wait until it is let in. Raises whatever ends the wait: Refused, ClientGone and so on."""
    _pause(story)
    while story.ticket.standing is Standing.WAITS:
        await EVENT


async def line(story: Story, target: Target) -> Any:
    """Wait until a connection may be made to the story's endpoint, or one is at hand: that one.

    Raises Refused.
    """
    endpoint, ticket, overload = story.endpoint, story.ticket, story.worker.overload
    bounds = target.bounds
    if ticket is None or endpoint is None or not bounds.settings.connections:
        return None
    pool: Any = story.worker.pool_of(endpoint)
    if not bounds.lines and _may_connect(story, bounds, pool):
        return None
    now = monotonic_ns()
    try:
        which = bounds.wait(ticket, bounds.lines, "connections", now)
        overload.queued(story, ticket, which, now)
        _pause(story)
        side = None
        while side is None:
            await EVENT
            side = pool.take(True)
            if side is None and _may_connect(story, bounds, pool):
                break
    except ProxyError:
        _forget_try(story)
        raise
    bounds.connects(ticket)
    _begin_anew(story, side)
    return side


def _forget_try(story: Story) -> None:
    """It has come to no server, which must not be blamed for that."""
    attempt = story.attempt
    if attempt is not None:
        attempt.tell(monotonic_ns())
        story.x.attempts.remove(attempt)
        story.attempt = None


def _begin_anew(story: Story, side: Any) -> None:
    """The try begins when there is room for it."""
    attempt = story.attempt
    if attempt is not None:
        attempt.start = attempt.connected = now = monotonic_ns()
        attempt.reused = side is not None
        if attempt.use is not None:
            attempt.use.restart(now)


def answered(story: Story, attempt: Attempt) -> None:
    """The answer's head is here: `adaptive` learns from how long that took. Not of a request whose
    body was long: that was the client's time."""
    took = attempt.end - attempt.start if story.x.body_in <= REPLAY else -1
    good = attempt.status < 500 and (story.x.call is None or not attempt.error)
    story.ticket.bounds.answered(story.ticket, took, attempt.end, good)


def _pause(story: Story) -> None:
    if not story.client.upload_done:
        story.client.pause()
    story.wait(0, 0)


def _may_connect(story: Story, bounds: Bounds, pool: Any) -> bool:
    """Whether there is room for one more connection, perhaps by closing one that is idle."""
    if isinstance(pool, SharedPool) and pool.may_serve():
        return True  # by a stream of one that is there
    while not bounds.may_connect():
        if not _drop(story, bounds):
            return False
    return True


def _drop(story: Story, bounds: Bounds) -> bool:
    """Close a connection to another server of the upstream that nobody uses."""
    pools = story.worker._pools.values()
    return any(pool.bounds is bounds and pool.drop() for pool in pools)


def _said(bounds: Bounds, which: str) -> str:
    if which == "adaptive":
        return f'"adaptive" ({int(bounds.limit())} for now)'
    return f'"{which}" ({getattr(bounds.settings, which)})'


def _shares(episode: Episode, part: int) -> str:
    sums: dict[str, int] = {}
    for key, count in episode.counts.items():
        sums[key[part]] = sums.get(key[part], 0) + count
    return ", ".join(f"{name} {count}" for name, count in sums.items())
