"""Ring: the latest batches as they came, and beside them what was failed or slow, for longer.

Storing a batch looks at its spans once, to learn which traces are worth keeping (0.1 µs a span
where it is compiled, `kernel/spanscan`). When a batch makes room for newer ones, the spans and
records of those traces move to the second ring. Nothing else is decoded until somebody asks.

Sizes are in bytes of OTLP; each batch counts OVERHEAD more, for what Python needs to hold it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Protocol

from proxy.kernel.spanscan import Judge, select
from proxy.otlp.envelope import Envelope
from proxy.otlp.wire import WireError, fields, split, split_entries
from proxy.recent.decode import Part, records_in, scopes, spans_in
from proxy.recent.model import Attributes, Record, Span
from proxy.telemetry.protobuf import delimited

OVERHEAD = 300
MOST_WORTH = 20_000  # traces that are known to be worth keeping; the oldest are forgotten
PIECE = 1024 * 1024  # bytes of a batch at most; a larger one is cut, so that little goes at once

_TRACE_OF = {"traces": 1, "logs": 9}  # the field of a span, or record, with its trace id


class Stored:
    """One batch: a request, or bare entries and the envelope that all of them share."""

    __slots__ = ("_data", "_envelope", "at", "items", "number", "signal")

    def __init__(
        self, signal: str, data: bytes, envelope: Envelope | None, items: int, at: int
    ) -> None:
        self.signal = signal  # "traces" or "logs"
        self.items = items
        self.at = at  # Unix ns
        self.number = 0  # rises from batch to batch
        self._data = data
        self._envelope = envelope

    @property
    def size(self) -> int:
        return len(self._data) + OVERHEAD

    @property
    def data(self) -> bytes:
        """What it holds, without the envelope: to be searched for bytes."""
        return self._data

    @property
    def is_own(self) -> bool:
        """Whether this gateway has recorded it."""
        return self._envelope is not None

    @property
    def payload(self) -> bytes:
        """The serialised Export…ServiceRequest."""
        return self._envelope.request([self._data]) if self._envelope is not None else self._data

    def parts(self) -> Iterator[Part]:
        """Where spans or records are, and whose they are."""
        if self._envelope is None:
            yield from scopes(self._data)
        else:
            resource, scope = _enclosing(self._envelope)
            yield resource, scope, self._data, 0, len(self._data)

    def spans(self, only: Container[bytes] | None = None) -> list[Span]:
        """Decoded, all or those of these traces."""
        return spans_in(self.parts(), only) if self.signal == "traces" else []

    def records(self, only: Container[bytes] | None = None) -> list[Record]:
        return records_in(self.parts(), only) if self.signal == "logs" else []

    def only(self, wanted: dict[bytes, None]) -> Stored | None:
        """Of these traces alone; None where there is nothing of them."""
        field = _TRACE_OF[self.signal]
        if self._envelope is not None:
            data = select(self._data, 0, len(self._data), field, wanted)
        else:
            data = _select(self._data, field, wanted)
        if not data:
            return None
        kept = Stored(self.signal, data, self._envelope, 0, self.at)
        kept.number = self.number
        kept.items = sum(_count(*part[2:]) for part in kept.parts())
        return kept


class Store(Protocol):
    """What may be asked."""

    @property
    def is_off(self) -> bool:
        """Whether nothing is kept."""

    def batches(self, after: int = 0) -> list[Stored]:
        """The latest, oldest first, of which the number is above `after`."""

    def kept(self) -> list[Stored]:
        """Of failed and slow traces, what the latest batches hold no more; oldest first."""


class Ring:
    """Both of them. A size of 0 keeps nothing."""

    def __init__(self, size: int, failed: int) -> None:
        self._size = size
        self._failed = failed
        self._latest: deque[Stored] = deque()
        self._kept: deque[Stored] = deque()
        self._judge = Judge()
        self._worth: dict[bytes, None] = {}
        self.used = self.used_failed = 0  # bytes
        self.number = 0  # of the last batch
        self.spans = 0  # in both
        self.followers: list[Callable[[Stored], None]] = []  # who are given what comes

    @property
    def is_off(self) -> bool:
        return not self._size

    def resize(self, size: int, failed: int) -> None:
        """As another configuration says."""
        self._size, self._failed = size, failed
        self._make_room()

    def add(self, signal: str, data: bytes, envelope: Envelope | None, items: int, at: int) -> None:
        """Keep that batch; `at` in Unix ns."""
        for piece, amount in _pieces(signal, data, envelope, items):
            stored = self._store(signal, piece, envelope, amount, at)
            for follower in self.followers:
                follower(stored)
        self._make_room()

    def batches(self, after: int = 0) -> list[Stored]:
        if not after:
            return list(self._latest)
        new: list[Stored] = []
        for stored in reversed(self._latest):
            if stored.number <= after:
                break
            new.append(stored)
        new.reverse()
        return new

    def kept(self) -> list[Stored]:
        return list(self._kept)

    def _store(
        self, signal: str, data: bytes, envelope: Envelope | None, items: int, at: int
    ) -> Stored:
        stored = Stored(signal, data, envelope, items, at)
        self.number += 1
        stored.number = self.number
        if self._size:
            self._latest.append(stored)
            self.used += stored.size
            if signal == "traces":
                self.spans += items
                self._look(stored)
        return stored

    def _look(self, stored: Stored) -> None:
        for part in stored.parts():
            for trace in self._judge.look(*part[2:]):
                self._worth[trace] = None
        while len(self._worth) > MOST_WORTH:
            del self._worth[next(iter(self._worth))]

    def _make_room(self) -> None:
        while self.used > self._size and self._latest:
            oldest = self._latest.popleft()
            self.used -= oldest.size
            self.spans -= oldest.items if oldest.signal == "traces" else 0
            if self._failed and self._worth:
                self._keep(oldest.only(self._worth))
        while self.used_failed > self._failed and self._kept:
            gone = self._kept.popleft()
            self.used_failed -= gone.size
            self.spans -= gone.items if gone.signal == "traces" else 0

    def _keep(self, stored: Stored | None) -> None:
        if stored is not None:
            self._kept.append(stored)
            self.used_failed += stored.size
            self.spans += stored.items if stored.signal == "traces" else 0


@lru_cache(8)
def _enclosing(envelope: Envelope) -> tuple[Attributes, str]:
    """Resource and scope's name."""
    for resource, scope, _, _, _ in scopes(envelope.request([])):
        return resource, scope
    return {}, ""


def _pieces(
    signal: str, data: bytes, envelope: Envelope | None, items: int
) -> list[tuple[bytes, int]]:
    if len(data) <= PIECE:
        return [(data, items)]
    try:
        return split_entries(data, PIECE) if envelope is not None else split(signal, data, PIECE)
    except WireError:
        return []


def _count(buf: bytes, begin: int, end: int) -> int:
    return sum(number == 2 for number, _, _, _, _ in fields(buf, begin, end))


def _select(request: bytes, field: int, wanted: dict[bytes, None]) -> bytes:
    """A request with those items alone, each in what enclosed it; b"" if there are none."""
    made: list[bytes] = []
    with suppress(WireError):  # what is malformed is not kept
        for number, wire, _, begin, end in fields(request, 0, len(request)):
            if number == 1 and wire == 2:
                made.append(_resource(request, begin, end, field, wanted))
    return b"".join(delimited(1, one) for one in made if one)


def _resource(buf: bytes, begin: int, end: int, field: int, wanted: dict[bytes, None]) -> bytes:
    """A ResourceX."""
    frame, scopes_ = [], []
    for number, wire, tag, start, stop in fields(buf, begin, end):
        if number != 2 or wire != 2:
            frame.append(buf[tag:stop])
        elif picked := select(buf, start, stop, field, wanted):
            scopes_.append(delimited(2, _scope(buf, start, stop) + picked))
    return b"".join([*frame, *scopes_]) if scopes_ else b""


def _scope(buf: bytes, begin: int, end: int) -> bytes:
    """A ScopeX without its items."""
    return b"".join(
        buf[tag:stop]
        for number, wire, tag, _, stop in fields(buf, begin, end)
        if not (number == 2 and wire == 2)
    )
