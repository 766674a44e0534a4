"""Contexts: what trace context requests bring, counted. Few, Seen: let some of many through."""

from __future__ import annotations

from proxy.config.model import Config
from proxy.kernel.counts import Number
from proxy.telemetry.instruments import TRACE_CONTEXT
from proxy.telemetry.metrics import Registry
from proxy.tracing.brought import BROUGHT

AHEAD = 1_000_000_000  # ns: what may pass in that time may pass at once
HINTS = 50  # a second, of requests that are not recorded
WATCHED = 2000  # a second, of requests that somebody watches, and
REMARKABLE = 5000  # of those that have failed, or took longer than
LONG = 50_000_000  # ns


def traces_begin(config: Config) -> bool:
    """Whether any request may be sampled: else there is no context that could get lost."""
    own = (route.trace.sampler for route in config.route)
    return any(sampler not in (None, "never") for sampler in (config.tracing.sampler, *own))


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
    """At most so many a second, by the times of those who ask."""

    __slots__ = ("_every", "_next")

    def __init__(self, rate: int) -> None:
        self._every = 1_000_000_000 // rate
        self._next = 0

    def lets(self, now: int) -> bool:
        """Whether one may pass at that time (ns)."""
        if self._next > now + AHEAD:
            return False
        self._next = max(self._next, now) + self._every
        return True


class Seen:
    """Which requests are told to who watches: as many as anybody can read, and so few that it is
    nothing to the gateway. Those that have failed or took long have more room."""

    __slots__ = ("_all", "_remarkable", "left_out")

    def __init__(self) -> None:
        self._all = Few(WATCHED)
        self._remarkable = Few(REMARKABLE)
        self.left_out = 0  # since it was told last

    def lets(self, now: int, took: int, failed: bool) -> bool:
        """Whether that one is told, which has ended `now` (ns)."""
        if ((failed or took > LONG) and self._remarkable.lets(now)) or self._all.lets(now):
            return True
        self.left_out += 1
        return False
