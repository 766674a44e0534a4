"""Which items a processor is about: `include` and `exclude`, compiled. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.collector.editing.patterns import MAX_SUBJECT, compile_pattern
from proxy.collector.editing.settings import Match, Pair, Plain
from proxy.collector.editing.values import Value, find, scalar, text

Text = Callable[[str], bool]

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")  # Span.kind


class Matcher:
    """One Match. Of the place first, since that decides for many items at once."""

    __slots__ = (
        "_attributes", "_bodies", "_kinds", "_libraries", "_metrics", "_names", "_resources",
        "_services", "_severity", "_severity_texts", "of_items",
    )  # fmt: skip

    def __init__(self, match: Match) -> None:
        strict = match.match_type == "strict"
        self._services = _any_of(match.services, strict)
        self._resources = [_pair(pair, strict) for pair in match.resources]
        self._libraries = [
            (_one(lib.name, strict), None if lib.version is None else _one(lib.version, strict))
            for lib in match.libraries
        ]
        self._attributes = [_pair(pair, strict) for pair in match.attributes]
        self._names = _any_of(match.span_names, strict)
        self._kinds = frozenset(map(KINDS.index, match.span_kinds))
        self._bodies = _any_of(match.log_bodies, strict)
        self._severity_texts = _any_of(match.log_severity_texts, strict)
        self._severity = match.log_severity_min
        self._metrics = _any_of(match.metric_names, strict)
        # Whether single items must be looked at.
        self.of_items = bool(
            self._attributes or self._names or self._kinds or self._bodies
            or self._severity_texts or self._severity or self._metrics
        )  # fmt: skip

    def place(self, place: Any) -> bool:
        """Whether the resource and scope of a `splice.Place` match."""
        if self._services is not None or self._resources:
            attributes = place.resource.attributes
            if self._services and not self._services(_text(attributes, "service.name")):
                return False
            if not all(has(attributes) for has in self._resources):
                return False
        if not self._libraries:
            return True
        scope = place.scope()
        return any(
            name(scope.name) and (version is None or version(scope.version))
            for name, version in self._libraries
        )

    def item(self, item: Any, attributes: Any) -> bool:
        """Whether a decoded Span, LogRecord or Metric matches.

        `attributes` are its own, or those of one of the metric's data points.
        """
        if self._metrics is not None and not self._metrics(getattr(item, "name", "")):
            return False
        if self._names is not None and not self._names(getattr(item, "name", "")):
            return False
        if self._kinds and getattr(item, "kind", -1) not in self._kinds:
            return False
        return self._record(item) and all(has(attributes) for has in self._attributes)

    def _record(self, item: Any) -> bool:
        if self._severity and getattr(item, "severity_number", 0) < self._severity:
            return False
        if self._severity_texts and not self._severity_texts(getattr(item, "severity_text", "")):
            return False
        if self._bodies is None:
            return True
        body = scalar(item.body) if hasattr(item, "body") else None
        return isinstance(body, str) and self._bodies(body)


def _one(wanted: str, strict: bool) -> Text:
    if strict:
        return wanted.__eq__
    search = compile_pattern(wanted).search
    return lambda given: search(given, 0, MAX_SUBJECT) is not None


def _any_of(wanted: list[str], strict: bool) -> Text | None:
    """None: nothing is asked."""
    if not wanted:
        return None
    if strict:
        return frozenset(wanted).__contains__
    tests = [_one(pattern, False) for pattern in wanted]
    return lambda given: any(test(given) for test in tests)


def _pair(pair: Pair, strict: bool) -> Callable[[Any], bool]:
    key, wanted = pair.key, pair.value
    if wanted is None:
        return lambda attributes: find(attributes, key) is not None
    if isinstance(wanted, str) and not strict:
        test = _one(wanted, False)
        return lambda attributes: (
            (found := find(attributes, key)) is not None and test(text(scalar(found)))
        )
    return lambda attributes: (
        (found := find(attributes, key)) is not None and _same(scalar(found), wanted)
    )


def _same(found: Value, wanted: Plain) -> bool:
    return type(found) is type(wanted) and found == wanted


def _text(attributes: Any, key: str) -> str:
    found = find(attributes, key)
    return "" if found is None else text(scalar(found))
