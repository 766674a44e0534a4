"""Policies that look at what a trace is: duration, status, attributes, size, state and flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.collector.editing.patterns import MAX_SUBJECT, compile_pattern
from proxy.collector.expression.paths import Item
from proxy.collector.tail.trace import Trace, key_field
from proxy.collector.tail.verdict import CERTAIN, Verdict
from proxy.tracing import w3c

STATUS_CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}  # trace.v1.Status.StatusCode

_YES_NO = (Verdict.NOT_SAMPLED, Verdict.SAMPLED)
_INVERTED = (Verdict.INVERTED_SAMPLED, Verdict.INVERTED_NOT_SAMPLED)


class Matching:
    """Keeps traces for which `test` is true."""

    __slots__ = ("_test",)
    threshold = CERTAIN

    def __init__(self, test: Callable[[Trace], bool]) -> None:
        self._test = test

    def decide(self, trace: Trace, now: float) -> Verdict:
        return _YES_NO[self._test(trace)]


class Attribute:
    """Keeps traces in which a span or resource has an attribute whose value passes `test`.

    `invert`: keeps those in which none has.
    """

    __slots__ = ("_answers", "_field", "_key", "_test")
    threshold = CERTAIN

    def __init__(self, key: str, test: Callable[[Any], bool], invert: bool) -> None:
        self._key = key
        self._field = key_field(key)
        self._test = test
        self._answers = _INVERTED if invert else _YES_NO

    def decide(self, trace: Trace, now: float) -> Verdict:
        return self._answers[any(map(self._test, trace.values(self._key, self._field)))]


def always() -> Matching:
    return Matching(lambda trace: True)


def latency(at_least_ms: int, at_most_ms: int) -> Matching:
    """Milliseconds; without an upper bound (0) the lower one belongs to what is kept, else not."""
    low, high = at_least_ms * 1_000_000, at_most_ms * 1_000_000
    if not high:
        return Matching(lambda trace: trace.duration_ns >= low)
    return Matching(lambda trace: low < trace.duration_ns <= high)


def status(names: list[str]) -> Matching:
    codes = frozenset(STATUS_CODES[name] for name in names)
    return Matching(lambda trace: trace.has_status(codes))


def span_count(fewest: int, most: int) -> Matching:
    """Both included; 0 = no upper bound."""
    return Matching(lambda trace: fewest <= trace.spans and (not most or trace.spans <= most))


def flagged() -> Matching:
    return Matching(lambda trace: trace.is_flagged_sampled)


def state(key: str, values: list[str]) -> Matching:
    """A member of the W3C tracestate that has one of these values."""
    member = key.encode()
    wanted = frozenset(value.encode() for value in values)
    return Matching(
        lambda trace: any(w3c.member(s.encode(), member) in wanted for s in trace.states() if s)
    )


def condition(tests: list[Callable[[Item], bool]]) -> Matching:
    """Expressions, any of which is true of a span."""

    def test(trace: Trace) -> bool:
        return any(
            check(Item(span, *frame.around))
            for frame, scope in trace.decoded
            for span in scope.spans
            for check in tests
        )

    return Matching(test)


def number(low: int | None, high: int | None) -> Callable[[Any], bool]:
    """Both included; None = no bound."""

    def test(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (low is None or value >= low) and (high is None or value <= high)

    return test


def boolean(wanted: bool) -> Callable[[Any], bool]:
    return lambda value: value is wanted


def one_of(values: list[str]) -> Callable[[Any], bool]:
    wanted = frozenset(values)
    return lambda value: isinstance(value, str) and value in wanted


class Patterns:
    """Whether a text holds any of these regular expressions; the last answers are remembered."""

    __slots__ = ("_known", "_most", "_patterns")

    def __init__(self, patterns: list[str], remembered: int) -> None:
        self._patterns = [compile_pattern(pattern) for pattern in patterns]
        self._most = remembered
        self._known: dict[str, bool] = {}

    def __call__(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        known = self._known.get(value)
        if known is None:
            known = any(pattern.search(value, 0, MAX_SUBJECT) for pattern in self._patterns)
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[value] = known
        return known
