"""Pairs: the two ends of each request, found by ids, until one has waited for too long.

Pure. The end that asks is a CLIENT or PRODUCER span; the end that answers is a SERVER or CONSUMER
span whose parent it is. Either may come first. An end whose other never comes is given back, so
that a node can stand for it that sends no spans.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5  # trace.v1.Span.SpanKind

Key = tuple[bytes, bytes]  # trace id, id of the span that asks


@dataclass(slots=True)  # not frozen: that alone would take 2 µs of a span's 6
class End:
    """What an edge needs of one span; `extra` are the values of configured dimensions."""

    service: str
    asks: bool
    messaging: bool  # PRODUCER or CONSUMER
    seconds: float | None  # None = nobody knows
    failed: bool
    weight: float  # spans that it stands for
    peer: str = ""  # what its attributes call the other end
    database: bool = False
    root: bool = False  # the server's span has no parent
    extra: tuple[str, ...] = ()


class Pairs:
    """At most `most` ends wait, each for `ttl` seconds."""

    __slots__ = ("_most", "_ttl", "_waiting")

    def __init__(self, ttl: float, most: int) -> None:
        self._ttl = ttl
        self._most = most
        # in the order in which they are due
        self._waiting: OrderedDict[Key, tuple[float, End]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= self._most

    def match(self, key: Key, end: End) -> End | None:
        """The other end, which waits no more; None if it has not come."""
        found = self._waiting.get(key)
        if found is None or found[1].asks == end.asks:
            return None
        del self._waiting[key]
        return found[1]

    def wait(self, key: Key, end: End, now: float) -> bool:
        """Whether there was room; `now` in seconds, never falling. An id given twice is not."""
        if self.is_full or key in self._waiting:
            return False
        self._waiting[key] = (now + self._ttl, end)
        return True

    def expired(self, now: float) -> Iterator[End]:
        """Ends that waited for too long, taken out."""
        while self._waiting:
            key = next(iter(self._waiting))
            due, end = self._waiting[key]
            if due > now:
                return
            del self._waiting[key]
            yield end
