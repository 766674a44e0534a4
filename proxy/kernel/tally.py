"""The twin in Python of what counts spans where they lie, without decoding them.

Of a span that is counted by its name, kind, status, a few attributes and how long it took, all else
is passed over: no object is made of it. A span is known by its key, the bytes of what it is counted
by. What stands for a key that was seen before is found in a dict; for a new one the caller is
asked, who decodes that one span and says which Tally it belongs to. So what a key means, which
values are the same and how many there may be, is all for the caller to decide.

Field numbers: trace/v1/trace.proto (ScopeSpans, Span, Status), common/v1/common.proto (KeyValue).
As in protobuf, a field that comes again is the one that counts, and one of another wire type is
unknown. `tally.pyx` does the same in C.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from proxy.kernel.wire import fields

_SPANS = (2, 2)  # of ScopeSpans: number, wire type
_TRACE, _ID, _STATE, _NAME, _PAIR, _STATUS = (1, 2), (2, 2), (3, 2), (5, 2), (9, 2), (15, 2)
_KIND, _CODE, _KEY = (6, 0), (3, 0), (1, 2)
_START, _END = (7, 1), (8, 1)


class Buckets:
    """A histogram with bounds that include what equals them; counts may be fractions."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = [float(bound) for bound in bounds]
        self._counts = [0.0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        self._counts[bisect_left(self._bounds, value)] += weight
        self.sum += value * weight

    @property
    def bounds(self) -> list[float]:
        return self._bounds

    @property
    def counts(self) -> list[float]:
        """One more than bounds."""
        return self._counts


class Tally:
    """What is counted under one key, or several."""

    __slots__ = ("calls", "durations", "exemplars", "seen")

    def __init__(self) -> None:
        self.calls = 0.0
        self.seen = 0  # Unix ns: when the last one was counted
        self.durations: Any = None  # has `add(value, weight)`; None = they are not wanted
        self.exemplars: Any = None  # has `append((trace id, span id, value, end))`; None = nobody


Open = Callable[[bytes, int, int], Tally | None]


class Digest:
    """How spans are counted: by which attributes, and in which unit.

    `divisor`: nanoseconds in a unit of durations; `weigh` says of a tracestate that is not empty
    how many spans this one stands for, None = one. A duration is known if the start is, the end is
    not before it and no later than `latest` (Unix ns), and it took no longer than `longest` (ns).
    """

    __slots__ = ("_divisor", "_latest", "_longest", "_names", "_weigh")

    def __init__(
        self,
        names: Iterable[bytes],
        divisor: float,
        limits: tuple[int, int],
        weigh: Callable[[bytes], float] | None,
    ) -> None:
        self._names = tuple(names)
        self._divisor = divisor
        self._latest, self._longest = limits
        self._weigh = weigh

    def count(
        self, buf: bytes, place: tuple[int, int], known: dict[bytes, Tally], now: int, opened: Open
    ) -> int:
        """Count the spans of the ScopeSpans in that place of `buf`; `now` in Unix ns.

        `opened` is called with key, begin and end of a span whose key is not in `known`; None means
        that it is not to be counted. Returns how many were counted whose duration is not known.
        Raises WireError where the bytes are no message; what came before is counted.
        """
        untimed = 0
        for number, wire, _, begin, end in fields(buf, *place):
            if (number, wire) != _SPANS:
                continue
            span = self._read(buf, begin, end)
            tally = known.get(span.key)
            if tally is None:
                tally = opened(span.key, begin, end)
            if tally is not None:
                untimed += self._add(tally, span, now)
        return untimed

    def _add(self, tally: Tally, span: _Span, now: int) -> bool:
        """Whether its duration would be wanted and is not known."""
        weight = self._weigh(span.state) if self._weigh is not None and span.state else 1.0
        tally.calls += weight
        tally.seen = now
        if tally.durations is None:
            return False
        start, end = span.start, span.end
        if not 0 < start <= end <= self._latest or end - start > self._longest:
            return True
        value = (end - start) / self._divisor
        tally.durations.add(value, weight)
        if tally.exemplars is not None and span.trace:
            tally.exemplars.append((span.trace, span.id, value, end))
        return False

    def _read(self, buf: bytes, start: int, stop: int) -> _Span:
        found: dict[tuple[int, int], bytes] = {}
        code = kind = 0
        pairs = bytearray()
        for number, wire, _, begin, end in fields(buf, start, stop):
            place = (number, wire)
            if place == _PAIR:
                if self._is_wanted(buf, begin, end):
                    pairs += (end - begin).to_bytes(4, "little") + buf[begin:end]
            elif place == _STATUS:
                for inner, type_, _, first, last in fields(buf, begin, end):
                    if (inner, type_) == _CODE:
                        code = _varint(buf[first:last])
            elif place == _KIND:
                kind = _varint(buf[begin:end])
            else:
                found[place] = buf[begin:end]
        name = found.get(_NAME, b"")
        numbers = b"".join(n.to_bytes(8, "little") for n in (len(name), kind, code))
        return _Span(
            key=bytes(pairs) + name + numbers,
            state=found.get(_STATE, b""),
            start=int.from_bytes(found.get(_START, b""), "little"),
            end=int.from_bytes(found.get(_END, b""), "little"),
            trace=found.get(_TRACE, b""),
            id=found.get(_ID, b""),
        )

    def _is_wanted(self, buf: bytes, begin: int, end: int) -> bool:
        if not self._names:
            return False
        key = b""
        for number, wire, _, first, last in fields(buf, begin, end):
            if (number, wire) == _KEY:
                key = buf[first:last]
        return key in self._names


class _Span(NamedTuple):
    key: bytes  # wanted attributes with their sizes, name, its size, kind and status
    state: bytes
    start: int
    end: int
    trace: bytes
    id: bytes


def _varint(raw: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(raw)) & (1 << 64) - 1
