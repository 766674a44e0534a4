"""The sum over all workers that ever were, kept up to date Report by Report.

What a worker counted stays when it is gone. A series that no worker has any more is forgotten:
at once when the last of them has forgotten it, `forget` seconds later when it died.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import islice

from proxy.telemetry.instruments import INSTRUMENTS, MEASURED, Instrument, Kind
from proxy.telemetry.metrics import (
    OVERFLOW,
    SLICE,
    Attributes,
    Exemplar,
    Key,
    Memo,
    Point,
    Report,
    Series,
    is_lasting,
)


class Total:
    """One series of the sum; `holders`: how many parts of workers go into it now."""

    __slots__ = ("attributes", "holders", "instrument", "memo", "value")

    def __init__(self, instrument: Instrument, attributes: Attributes) -> None:
        self.instrument = instrument
        self.attributes = attributes
        self.value: int | Point = 0
        self.holders = 0
        self.memo = Memo()

    @property
    def key(self) -> Key:
        return self.instrument.name, self.attributes


class _Part:
    """What one worker has put into a Total."""

    __slots__ = ("total", "value")

    def __init__(self, total: Total) -> None:
        self.total = total
        self.value: int | Point = 0


class Totals:
    """The cap of the registries holds for the sum too: workers may have seen different things."""

    __slots__ = ("_groups", "_orphans", "_workers", "cap", "forget")

    def __init__(self, cap: int = 2000, forget: float = 0.0) -> None:
        self.cap = cap
        self.forget = forget
        self._groups: dict[str, dict[Attributes, Total]] = {name: {} for name in INSTRUMENTS}
        self._workers: dict[Hashable, dict[Key, _Part]] = {}
        self._orphans: dict[Key, float] = {}  # left by the dead, oldest first, with the time

    def apply(self, worker: Hashable, report: Report, now: float = 0.0) -> None:
        """Take over what `worker` reported; its reports must come in order. `now` in seconds."""
        parts = self._workers.setdefault(worker, {})
        for key, number in report.numbers.items():
            part = parts.get(key) or self._join(parts, key)
            assert isinstance(part.value, int)
            assert isinstance(part.total.value, int)
            part.total.value += number - part.value
            part.value = number
        for key, point in report.histograms.items():
            part = parts.get(key) or self._join(parts, key)
            part.total.value = _moved(part.total.value, part.value, point)
            part.value = point
        for key in report.forgotten:
            if (gone := parts.pop(key, None)) is not None:
                self._take_out(gone)
                self._leave(gone.total)
        self._let_go(now)

    def retire(self, worker: Hashable, now: float = 0.0) -> None:
        """`worker` is gone: what it counted stays, what it had open is not open any more."""
        for part in self._workers.pop(worker, {}).values():
            total = part.total
            total.holders -= 1
            self._take_out(part)
            if total.holders:
                continue
            if total.instrument.name in MEASURED:
                self._drop(total.key)
            else:
                self._orphans[total.key] = now

    def series(self) -> Iterator[Series]:
        """Every series; those of one instrument come together, in the order of INSTRUMENTS.

        It may be read over many turns; each series is then as it was when it was read.
        """
        for name in self._groups:
            yield from self.of(name)

    def of(self, name: str) -> Iterator[Series]:
        """Those of one instrument."""
        for total in list(self._groups[name].values()):
            yield Series(total.instrument, total.attributes, total.value, total.memo)

    def _take_out(self, part: _Part) -> None:
        """What somebody had open is not open any more; what was counted stays."""
        if part.total.instrument.kind is Kind.GAUGE:
            assert isinstance(part.value, int)
            assert isinstance(part.total.value, int)
            part.total.value -= part.value

    def _join(self, parts: dict[Key, _Part], key: Key) -> _Part:
        total = self._total(key)
        total.holders += 1
        self._orphans.pop(total.key, None)
        part = parts[key] = _Part(total)
        return part

    def _total(self, key: Key) -> Total:
        name, attributes = key
        group = self._groups[name]
        found = group.get(attributes)
        if found is None and len(group) - (OVERFLOW in group) >= self.cap:
            attributes = OVERFLOW
            found = group.get(attributes)
        if found is None:
            found = group[attributes] = Total(INSTRUMENTS[name], attributes)
        return found

    def _leave(self, total: Total) -> None:
        """The worker forgot its part, whose count stays while another one has the series too."""
        total.holders -= 1
        if not total.holders:
            self._drop(total.key)

    def _let_go(self, now: float) -> None:
        if not self.forget:
            return
        for key, since in list(islice(self._orphans.items(), SLICE)):
            if now - since <= self.forget:
                break
            del self._orphans[key]
            self._drop(key)

    def _drop(self, key: Key) -> None:
        if not is_lasting(key):
            self._groups[key[0]].pop(key[1], None)


def _moved(total: int | Point, before: int | Point, after: Point) -> Point:
    """The total when one of its parts was `before` and is `after`; 0 = there was none yet."""
    if not isinstance(total, Point):
        return after
    if isinstance(before, Point):
        triples = zip(total.counts, before.counts, after.counts, strict=True)
        counts = tuple([t - b + a for t, b, a in triples])
        return Point(counts, total.sum - before.sum + after.sum, _newest(total, after))
    counts = tuple([t + a for t, a in zip(total.counts, after.counts, strict=True)])
    return Point(counts, total.sum + after.sum, _newest(total, after))


def _newest(one: Point, other: Point) -> tuple[Exemplar | None, ...]:
    if not one.exemplars or not other.exemplars:
        return one.exemplars or other.exemplars
    pairs = zip(one.exemplars, other.exemplars, strict=True)
    return tuple([a if b is None or (a and a.time > b.time) else b for a, b in pairs])
