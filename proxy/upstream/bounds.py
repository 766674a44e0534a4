"""What may be under way at one upstream: connections, requests, retries, and who waits.

Pure: time (ns, monotonic) is an argument. The numbers are those of all workers of a host: each
worker writes its own into a row of the memory that they share (`board.Row`) and adds up the row.
To begin something it counts it first, then looks, and takes it back if that was too much: so no
more than the limit is ever under way, though two that begin at the same moment may both be
refused one place. A request has one Ticket, which knows all that it holds; whatever becomes of
the request, `leave` gives that back, once.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.upstream_model import UpstreamLimits
from proxy.upstream.adaptive import FIRST, Gradient
from proxy.upstream.board import (
    CONNECTIONS,
    FLYING,
    LIMIT,
    OLDEST,
    PENDING,
    REQUESTS,
    RETRYING,
    Row,
)
from proxy.upstream.waiting import Standing, Ticket, Waiting

UNLIMITED = 2**62
LOW_PART = (4, 5)  # of `requests` for low priority; the rest is kept free for others
PARTS = (1.0, 0.9, 0.7)  # of the adaptive limit, for high, normal and low priority
UNFAIR = 50_000_000  # ns by which another worker's request has waited longer, and goes first
FORGOTTEN = 10_000_000_000  # ns without an answer after which a worker's limit tells nothing
MILLI = 1000  # of a limit, in the row


class Bounds:
    """One upstream's, in one worker. Without settings nothing is limited, only counted."""

    __slots__ = (
        "_allowed",
        "_answered",
        "_heard",
        "_most",
        "_row",
        "evicted",
        "gradient",
        "lines",
        "settings",
        "turns",
    )

    def __init__(self, row: Row | None = None) -> None:
        self._row = row or Row()
        self.settings = UpstreamLimits()
        self.turns = Waiting()  # for a place among `requests`
        self.lines = Waiting()  # for one of the `connections`; they have a place already
        self.evicted: list[Ticket] = []  # refused, since others matter more: to be told
        self.gradient: Gradient | None = None
        self._most = (UNLIMITED,) * 3  # of requests, by priority
        self._allowed = (UNLIMITED,) * 3  # the same of `adaptive`
        self._heard = 0  # when the gradient heard of an answer

    # settings

    def configure(self, settings: UpstreamLimits | None) -> None:
        """Go by these from now on; who waits is served by them, and nobody is sent away."""
        self.settings = settings or UpstreamLimits()
        if settings is None:
            self.number(-1)  # somebody else has it soon
        most = self.settings.requests or UNLIMITED
        part, whole = LOW_PART
        low = max(most * part // whole, 1) if self.settings.requests else UNLIMITED
        self._most = (most, most, low)
        if self.settings.adaptive:
            self.gradient = self.gradient or Gradient()
        else:
            self.gradient = None
            self._row.put(LIMIT, 0)
        self._renew()

    def number(self, number: int) -> None:
        """The number of its row, -1 = none: this worker counts alone."""
        self._row.move(number)

    # requests

    def enter(self, ticket: Ticket, now: int) -> str:
        """Let a request in, or have it wait (`ticket.standing`); else the limit that it is."""
        which = "requests"
        if not self.turns.is_before(ticket.priority):
            which = self._let_in(ticket)
        if not which or which == "adaptive":
            return which
        return self.wait(ticket, self.turns, which, now)

    def wait(self, ticket: Ticket, queue: Waiting, which: str, now: int) -> str:
        """Have it wait for its turn; else the limit that does not let it."""
        most = self.settings.pending
        if not most:
            return which
        self._add(PENDING, 1)
        if self._row.total(PENDING) > most:
            self._add(PENDING, -1)
            last = queue.last_below(ticket.priority)
            if last is None:
                return "pending"
            queue.remove(last)  # whose place it takes
            last.standing = Standing.IN if queue is self.lines else Standing.OUT
            self.evicted.append(last)
        ticket.standing = Standing.WAITS
        ticket.since = now
        queue.add(ticket)
        self._row.put(OLDEST, self._oldest())
        return ""

    def next(self, now: int, freed: bool) -> Ticket | None:
        """Who is let in now of those that wait; `freed`: this worker has given a place back, which
        another worker's request may have waited for longer."""
        ticket = self.turns.first()
        if ticket is None or (freed and self._others_first(now)) or self._let_in(ticket):
            return None
        self._stop_waiting(ticket, self.turns)
        ticket.standing = Standing.IN
        return ticket

    def connects(self, ticket: Ticket) -> None:
        """One of `lines` waits no longer."""
        if self._stop_waiting(ticket, self.lines):
            ticket.standing = Standing.IN

    def late(self, now: int) -> list[Ticket]:
        """Who has waited too long."""
        return [t for q in (self.turns, self.lines) for t in q if t.until and now >= t.until]

    def answered(self, ticket: Ticket, ns: int, now: int, good: bool) -> None:
        """Its answer has begun, `ns` after it was asked for: see `Gradient.ended`. Only what is
        asked for is counted by the adaptive limit, not what is still being passed on."""
        if not ticket.flies:
            return
        ticket.flies = False
        self._add(FLYING, -1)
        gradient = self.gradient
        if gradient is None or ns < 0:
            return
        self._heard = now
        if gradient.ended(ns, now, good, self.limit()) or not self._row.own[LIMIT]:
            self._row.put(LIMIT, int(gradient.limit * MILLI))
            self._renew()

    def may_retry(self, ticket: Ticket) -> bool:
        """Count a request among those that are tried again, until it leaves."""
        if ticket.retries:
            return True
        self._add(RETRYING, 1)
        most = self.settings.retries
        if most and self._row.total(RETRYING) > most:
            self._add(RETRYING, -1)
            return False
        ticket.retries = True
        return True

    def leave(self, ticket: Ticket, now: int) -> bool:
        """It is over: give back all that it holds. True if somebody waits."""
        was, ticket.standing = ticket.standing, Standing.OUT
        has_place = was is Standing.IN
        if was is Standing.WAITS:
            has_place = self._stop_waiting(ticket, self.lines)
            if not has_place:
                self._stop_waiting(ticket, self.turns)
        if has_place:
            self._add(REQUESTS, -1)
        if ticket.flies:
            ticket.flies = False
            self._add(FLYING, -1)
        if ticket.retries:
            ticket.retries = False
            self._add(RETRYING, -1)
        return self.is_awaited()

    def is_awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self.turns.first() or self.lines.first())

    # connections

    def connected(self, change: int) -> None:
        """So many more connections are open or being made, or so many fewer."""
        self._add(CONNECTIONS, change)

    def may_connect(self) -> bool:
        """Whether one more connection may be made."""
        most = self.settings.connections
        return not most or self._row.total(CONNECTIONS) < most

    # all together

    def limit(self) -> float:
        """The adaptive limit in force: the mean of those workers that know one."""
        known = self._row.known(LIMIT)
        if known:
            return sum(known) / len(known) / MILLI
        return self.gradient.limit if self.gradient is not None else FIRST

    def look(self, now: int) -> None:
        """A few times a second: what other workers have found out about the limit."""
        if self.gradient is None:
            return
        if now - self._heard > FORGOTTEN and self._row.own[LIMIT]:
            self._row.put(LIMIT, 0)
        self._renew()

    def own(self) -> dict[str, int]:
        """What this worker counts."""
        own = self._row.own
        return {
            "requests": own[REQUESTS],
            "pending": own[PENDING],
            "retries": own[RETRYING],
            "connections": own[CONNECTIONS],
            "flying": own[FLYING],
        }

    def total(self) -> tuple[int, int]:
        """Requests that are under way, and that wait, of all workers."""
        return self._row.total(REQUESTS), self._row.total(PENDING)

    def everyone(self) -> Iterator[Ticket]:
        """Who waits."""
        yield from self.turns
        yield from self.lines

    def _let_in(self, ticket: Ticket) -> str:
        """Count it; else the limit that it is."""
        priority, row = ticket.priority, self._row
        gradient = self.gradient
        if gradient is not None and not ticket.flies:
            self._add(FLYING, 1)
            flying = row.total(FLYING)
            gradient.saw(flying)
            if flying > self._allowed[priority]:
                self._add(FLYING, -1)
                return "adaptive"
            ticket.flies = True
        self._add(REQUESTS, 1)
        most = self._most[priority]
        if most != UNLIMITED and row.total(REQUESTS) > most:
            self._add(REQUESTS, -1)
            if ticket.flies:
                ticket.flies = False
                self._add(FLYING, -1)
            return "requests"
        ticket.standing = Standing.IN
        return ""

    def _stop_waiting(self, ticket: Ticket, queue: Waiting) -> bool:
        if not queue.remove(ticket):
            return False
        self._add(PENDING, -1)
        self._row.put(OLDEST, self._oldest())
        return True

    def _others_first(self, now: int) -> bool:
        mine = self.turns.oldest()
        return any(since + UNFAIR < mine for since in self._row.known(OLDEST))

    def _oldest(self) -> int:
        return self.turns.oldest()

    def _renew(self) -> None:
        if self.gradient is None:
            self._allowed = (UNLIMITED,) * 3
            return
        high, normal, low = [max(int(self.limit() * part), 1) for part in PARTS]
        self._allowed = (high, normal, low)

    def _add(self, cell: int, change: int) -> None:
        self._row.put(cell, self._row.own[cell] + change)
