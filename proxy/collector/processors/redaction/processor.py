"""Processor `redaction`: removes attributes that are not allowed and masks what looks secret.

It looks at attributes of resources, scopes, spans, their events and links, log records, data
points and exemplars, at log bodies and at status messages; at what is nested in them too. Every
request is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.editing.actions import digest
from proxy.collector.editing.patterns import MAX_SUBJECT, compile_pattern
from proxy.collector.editing.values import MAX_DEPTH, assign, put, scalar, text
from proxy.collector.processors.redaction.secrets import Secrets, query_cleaned
from proxy.collector.processors.redaction.settings import Settings

_KEYS = 4096  # keys whose fate is remembered
_KEEP, _CHECK, _MASK, _REMOVE = range(4)


class Redaction:
    """A Stage that holds nothing."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._next = context.next
        # On a data point a count would be a dimension of its series.
        self._redactor = Redactor(settings, tells=context.signal != "metrics")
        self._signal = context.signal

    async def start(self) -> None:
        return None

    async def stop(self, deadline: float) -> None:
        return None

    def held(self, signal: Signal) -> int:
        return 0

    def consume(self, batch: Batch) -> bool:
        batch.payload  # noqa: B018 - if nobody takes the new batch, this one is offered again
        message = batch.edit()
        for holder in holders(self._signal, message):
            self._redactor.attributes(holder)
        if self._redactor.bodies:
            for value in texts(self._signal, message):
                self._redactor.text(*value)
        return self._next.consume(Batch.of(batch.signal, message, batch.items))


class Redactor:
    """Redacts single messages."""

    __slots__ = (
        "_all_types", "_allowed", "_blocked", "_fates", "_hash", "_ignored", "_mask_text",
        "_query", "_secrets", "_summary", "_urls", "bodies",
    )  # fmt: skip

    def __init__(self, settings: Settings, *, tells: bool = True) -> None:
        self._allowed = None if settings.allow_all_keys else frozenset(settings.allowed_keys)
        self._ignored = frozenset(settings.ignored_keys)
        self._blocked = [compile_pattern(p) for p in settings.blocked_key_patterns]
        self._secrets = Secrets(
            settings.blocked_kinds,
            [compile_pattern(p) for p in settings.blocked_values],
            [compile_pattern(p) for p in settings.allowed_values],
            self._masked,
        )
        self._hash = settings.hash_function
        self._mask_text = settings.mask
        self._query = frozenset(name.lower() for name in settings.url_query)
        self._urls = frozenset(settings.url_attributes)
        self._all_types = settings.redact_all_types
        self._summary = settings.summary if tells else "silent"
        self._fates: dict[str, int] = {}
        self.bodies = settings.log_body

    def attributes(self, holder: Any) -> None:
        """Redact the attributes of a message, and count what was done in attributes of its own."""
        attributes = getattr(holder, "attributes", None)
        if attributes is None:  # an exemplar
            attributes = holder.filtered_attributes
        removed: list[str] = []
        masked: list[str] = []
        for index in range(len(attributes) - 1, -1, -1):
            pair = attributes[index]
            key = pair.key
            fate = self._fates.get(key)
            if fate is None:
                fate = self._fate(key)
            if fate == _REMOVE:
                removed.append(key)
                del attributes[index]
            elif fate != _KEEP and self._value(pair.value, key, fate):
                masked.append(key)
        if self._summary != "silent":
            self._tell(attributes, "redacted", removed)
            self._tell(attributes, "masked", masked)

    def text(self, holder: Any, field: str) -> None:
        """Redact a log body, or a status message."""
        value = getattr(holder, field)
        if isinstance(value, str):
            clean = self._secrets.cleaned(value)
            if clean is not value:
                setattr(holder, field, clean)
        else:
            self._value(value, "", _CHECK)

    def _fate(self, key: str) -> int:
        fate = _CHECK
        if key in self._ignored:
            fate = _KEEP
        elif self._allowed is not None and key not in self._allowed:
            fate = _REMOVE
        elif any(pattern.search(key, 0, MAX_SUBJECT) for pattern in self._blocked):
            fate = _MASK
        if len(self._fates) >= _KEYS:
            self._fates.clear()
        self._fates[key] = fate
        return fate

    def _value(self, value: Any, key: str, fate: int, depth: int = 0) -> bool:
        """Whether anything in an AnyValue was masked."""
        kind = value.WhichOneof("value")
        if kind is None:
            return False
        if fate == _MASK or depth > MAX_DEPTH:
            put(value, self._masked(text(scalar(value))))
            return True
        if kind == "string_value":
            return self._string(value, key)
        if kind == "array_value":
            parts = [self._value(v, key, fate, depth + 1) for v in value.array_value.values]
            return any(parts)
        if kind == "kvlist_value":
            return self._table(value.kvlist_value.values, depth + 1)
        if self._all_types and kind != "bytes_value":
            before = text(scalar(value))
            after = self._secrets.cleaned(before)
            if after != before:
                put(value, after)
                return True
        return False

    def _string(self, value: Any, key: str) -> bool:
        before = after = value.string_value
        if self._query and key in self._urls:
            after = query_cleaned(before, self._query, self._masked)
        after = self._secrets.cleaned(after)
        if after == before:
            return False
        value.string_value = after
        return True

    def _table(self, pairs: Any, depth: int) -> bool:
        """Keys within values are not removed, but block patterns hold for them too."""
        found = False
        for pair in pairs:
            blocked = any(pattern.search(pair.key, 0, MAX_SUBJECT) for pattern in self._blocked)
            found |= self._value(pair.value, pair.key, _MASK if blocked else _CHECK, depth)
        return found

    def _masked(self, found: str) -> str:
        return digest(found, self._hash) if self._hash else self._mask_text

    def _tell(self, attributes: Any, what: str, keys: list[str]) -> None:
        if keys:
            assign(attributes, f"redaction.{what}.count", len(keys))
            if self._summary == "debug":
                assign(attributes, f"redaction.{what}.keys", ",".join(sorted(keys)))


def holders(signal: str, message: Any) -> Iterator[Any]:
    """Every message that has attributes."""
    for around in getattr(message, f"resource_{_SUFFIX[signal]}"):
        yield around.resource
        for scope in getattr(around, f"scope_{_SUFFIX[signal]}"):
            yield scope.scope
            if signal == "traces":
                for span in scope.spans:
                    yield span
                    yield from span.events
                    yield from span.links
            elif signal == "logs":
                yield from scope.log_records
            else:
                yield from _points(scope.metrics)


_SUFFIX = {"traces": "spans", "logs": "logs", "metrics": "metrics"}


def _points(metrics: Any) -> Iterator[Any]:
    for metric in metrics:
        kind = metric.WhichOneof("data")
        for point in getattr(metric, kind).data_points if kind else ():
            yield point
            yield from getattr(point, "exemplars", ())


def texts(signal: str, message: Any) -> Iterator[tuple[Any, str]]:
    """(message, field) of texts that are no attributes."""
    for around in getattr(message, f"resource_{_SUFFIX[signal]}"):
        for scope in getattr(around, f"scope_{_SUFFIX[signal]}"):
            if signal == "traces":
                yield from ((s.status, "message") for s in scope.spans if s.HasField("status"))
            elif signal == "logs":
                yield from ((r, "body") for r in scope.log_records if r.HasField("body"))


def make(settings: Settings, context: Context) -> Redaction:
    return Redaction(settings, context)
