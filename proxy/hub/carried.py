"""Series of a process that may be replaced: the next counts from zero, and no counter falls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Attributes, Series

_Key = tuple[Instrument, Attributes]


class Carried:
    """The last word of the process that lives, on top of what those before it had counted."""

    __slots__ = ("_now", "_past")

    def __init__(self) -> None:
        self._past: dict[_Key, int] = {}
        self._now: list[Series] = []

    def apply(self, series: Iterable[Series]) -> None:
        """All series as they are now."""
        self._now = list(series)

    def retire(self) -> None:
        """The process is gone: what it counted stays, what it held is not held any more."""
        for instrument, attributes, value, _ in self._now:
            if instrument.kind is Kind.COUNTER and isinstance(value, int):
                key = instrument, attributes
                self._past[key] = self._past.get(key, 0) + value
        self._now = []

    def __iter__(self) -> Iterator[Series]:
        told = set()
        for instrument, attributes, value, _ in self._now:
            key = instrument, attributes
            told.add(key)
            before = self._past.get(key, 0)
            yield (
                Series(instrument, attributes, value + before)
                if isinstance(value, int)
                else Series(instrument, attributes, value)
            )
        for key, before in self._past.items():
            if key not in told:
                yield Series(*key, before)
