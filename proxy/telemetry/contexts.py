"""Contexts: what trace context requests bring, counted. Few: lets some of many through."""

from __future__ import annotations

from proxy.kernel.counts import Number
from proxy.telemetry.instruments import TRACE_CONTEXT
from proxy.telemetry.metrics import Registry
from proxy.tracing.brought import BROUGHT

EVERY = 20_000_000  # ns: 50 a second of requests that are not recorded,
AHEAD = 1_000_000_000  # and so many at once


class Contexts:
    """The counter of `spangate.trace_context`, one number for each of BROUGHT."""

    __slots__ = ("_code", "_number", "_numbers", "_registry")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._numbers: dict[int, Number] = {}
        self._code = -1  # that of the number that was counted in last
        self._number = Number()

    def count(self, code: int) -> None:
        """One request more, that has brought this."""
        if code != self._code:
            self._turn_to(code)
        self._number.value += 1

    def _turn_to(self, code: int) -> None:
        number = self._numbers.get(code)
        if number is None:
            result, form = BROUGHT[code]
            labels = (("result", result), ("format", form))
            number = self._numbers[code] = self._registry.number(TRACE_CONTEXT, labels)
        self._code, self._number = code, number

    def let_go(self) -> None:
        """Forget the numbers that the registry has forgotten."""
        self._numbers = {code: n for code, n in self._numbers.items() if n.kept}
        self._code = -1


class Few:
    """At most 50 a second, by the times of those who ask."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    def lets(self, now: int) -> bool:
        """Whether one may pass at that time (ns)."""
        if self._next > now + AHEAD:
            return False
        self._next = max(self._next, now) + EVERY
        return True
