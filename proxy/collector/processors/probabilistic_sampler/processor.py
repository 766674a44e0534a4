"""Processor `probabilistic_sampler`: keeps a share of the traces, or of the log records.

It holds nothing and remembers no decision but to save time. Which spans go is decided from trace
ids read at their place in the bytes; what stays is copied, with `ot` of its tracestate telling
for how many spans it stands. Only spans that say something of sampling themselves are decoded
before that.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.editing.splice import Each, decode, edit_items
from proxy.collector.editing.values import find, number_in, scalar
from proxy.collector.processors.probabilistic_sampler import thresholds
from proxy.collector.processors.probabilistic_sampler.modes import UNKNOWN, Decider
from proxy.collector.processors.probabilistic_sampler.settings import Settings
from proxy.telemetry.protobuf import attributes, delimited
from proxy.tracing import w3c
from proxy.tracing.sampling import MAX_OT

PRIORITY = "sampling.priority"  # of spans: 0 = drop, above = keep (OpenTracing's convention)
THRESHOLD, RANDOMNESS = "sampling.threshold", "sampling.randomness"  # of log records

_CACHE = 8192  # traces whose verdict is remembered; about 2 MB
_DROP = b"-"  # the verdict on a trace that goes


class Sampler:
    """A Stage that holds nothing."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._next = context.next
        self._account = context.account
        self._each: type[Spans] | type[Records] = Spans if context.signal == "traces" else Records
        self._items: Spans | Records = self._each(settings)

    async def start(self) -> None:
        return None

    async def stop(self, deadline: float) -> None:
        return None

    def held(self, signal: Signal) -> int:
        return 0

    def consume(self, batch: Batch) -> bool:
        before = batch.payload
        after, dropped = edit_items(before, self._items.chooser(before))
        if after is before:
            return self._next.consume(batch)
        kept = batch.items - dropped
        if kept and not self._next.consume(Batch(batch.signal, after, kept)):
            return False
        self._account.drop(dropped, "sampled")
        return True


class Spans:
    """Chooses among spans."""

    __slots__ = ("_decider", "_known", "_told")

    def __init__(self, settings: Settings) -> None:
        self._decider = Decider(settings)
        self._known: dict[bytes, bytes] = {}  # trace id -> _DROP, or what to append to each span
        self._told: dict[tuple[bytes, str], str | None] = {}  # those that say something of it

    def chooser(self, payload: bytes) -> Any:
        """For `edit_items`; one look over the whole request saves a look at every span."""
        spoken = b"ot=" in payload or PRIORITY.encode() in payload
        each: Each = self._careful if spoken else self._quick
        return lambda place: each

    def _quick(self, item: bytes) -> bytes | None:
        # Every encoder writes fields in the order of their numbers, trace_id = 1 first; a span
        # that does otherwise is decoded.
        trace_id = item[2:18] if item[:2] == b"\x0a\x10" else decode(Span, item).trace_id
        verdict = self._known.get(trace_id)
        if verdict is None:
            verdict = self._decide(trace_id)
        if verdict is _DROP:
            return None
        if not verdict:
            return item
        span = decode(Span, item)  # 0.6 µs, by `fields` 7
        if not span.trace_state:
            return item + verdict
        said = verdict[verdict.index(b"=") + 1 :]
        span.trace_state = put(span.trace_state.encode(), said).decode()
        return bytes(span.SerializeToString())

    def _decide(self, trace_id: bytes) -> bytes:
        decider = self._decider
        randomness = _randomness(trace_id, decider)
        threshold = decider.untold(randomness)
        verdict = b""
        if threshold is None:
            verdict = _DROP
        elif threshold > 0:
            verdict = delimited(3, b"ot=" + _ot(threshold, randomness, decider))
        if len(self._known) >= _CACHE:
            self._known.clear()
        self._known[trace_id] = verdict
        return verdict

    def _careful(self, item: bytes) -> bytes | None:
        if b"ot=" not in item and PRIORITY.encode() not in item:
            return self._quick(item)
        span = decode(Span, item)
        state = span.trace_state
        if PRIORITY.encode() in item:
            priority = number_in(find(span.attributes, PRIORITY))
            if priority == 0:
                return None
            if priority is not None and priority > 0:
                return self._said(span, item, _alone(state))
        if "ot=" not in state:
            return self._quick(item)
        key = (span.trace_id, state)
        if key not in self._told:
            if len(self._told) >= _CACHE:
                self._told.clear()
            self._told[key] = self._decide_told(span.trace_id, state.encode())
        after = self._told[key]
        return None if after is None else self._said(span, item, after)

    def _decide_told(self, trace_id: bytes, state: bytes) -> str | None:
        """The tracestate afterwards; None = the span goes."""
        told = thresholds.read_state(state)
        randomness = thresholds.of_trace_id(trace_id)
        if told == thresholds.NOTHING:
            randomness = _randomness(trace_id, self._decider)
            threshold = self._decider.untold(randomness)
        else:
            threshold = self._decider.told(told, randomness)
        if threshold is None:
            return None
        if threshold == (told.threshold or 0):
            return state.decode()
        if threshold == UNKNOWN:
            return put(state, b"").decode()
        if told == thresholds.NOTHING:
            return put(state, _ot(threshold, randomness, self._decider)).decode()
        return put(state, b"th:" + thresholds.written(threshold)).decode()

    def _said(self, span: Any, item: bytes, state: str) -> bytes:
        if span.trace_state == state:
            return item
        span.trace_state = state
        return bytes(span.SerializeToString())


def _alone(state: str) -> str:
    """Of a span that is kept for itself, and stands for itself unless it was told otherwise."""
    told = thresholds.read_state(state.encode())
    return put(state.encode(), b"th:0").decode() if told.threshold is None else state


class Records:
    """Chooses among log records; what it decided is told in their attributes."""

    __slots__ = ("_decider", "_from", "_ids", "_precision", "_priority")

    def __init__(self, settings: Settings) -> None:
        self._decider = Decider(settings)
        self._ids = settings.attribute_source == "traceID"
        self._from = settings.from_attribute
        self._priority = settings.sampling_priority
        self._precision = settings.sampling_precision

    def chooser(self, payload: bytes) -> Any:
        """For `edit_items`."""
        return lambda place: self._record

    def _record(self, item: bytes) -> bytes | None:
        record = decode(LogRecord, item)
        told = thresholds.read(_text(record, THRESHOLD), _text(record, RANDOMNESS))
        randomness, hashed = self._random(record)
        if told == thresholds.NOTHING:
            threshold = self._decider.untold(randomness)
        else:
            threshold = self._decider.told(told, randomness)
            hashed = False
        wish = number_in(find(record.attributes, self._priority)) if self._priority else None
        if wish is not None and wish >= 0:
            threshold = self._wished(wish, threshold, told.randomness or randomness)
        if threshold is None:
            return None
        if threshold == UNKNOWN or threshold == (told.threshold or 0):
            return item
        pairs = [(THRESHOLD, thresholds.written(threshold).decode())]
        if hashed and randomness is not None:
            pairs.append((RANDOMNESS, f"{randomness:014x}"))
        if told.threshold is None:
            return item + attributes(6, pairs)
        find(record.attributes, THRESHOLD).string_value = pairs[0][1]
        return bytes(record.SerializeToString())

    def _random(self, record: Any) -> tuple[int | None, bool]:
        """(R, whether it comes from a hash)."""
        hashes = self._decider.hashes
        if self._ids and record.trace_id:
            return _randomness(record.trace_id, self._decider), hashes
        found = find(record.attributes, self._from) if self._from else None
        content = b"" if found is None else _content(scalar(found))
        if content:
            return thresholds.of_hash(content, self._decider.seed), True
        if record.trace_id and not hashes:
            return thresholds.of_trace_id(record.trace_id), False
        return None, False

    def _wished(self, percent: float, threshold: int | None, randomness: int | None) -> int | None:
        if percent == 0:
            return None
        if threshold is not None or randomness is None:
            return threshold
        wished = thresholds.of_ratio(percent / 100, self._precision)
        return wished if randomness >= wished else None


def put(state: bytes, said: bytes) -> bytes:
    """`state` with `th` (and `rv`) of its `ot` member replaced by `said`; b"" removes `th`."""
    replaced = (b"th:", b"rv:") if b"rv:" in said else (b"th:",)
    old = w3c.member(state, b"ot").split(b";")
    kept = [entry for entry in old if entry and not entry.startswith(replaced)]
    new = b";".join([said, *kept] if said else kept)
    if len(new) > MAX_OT:
        new = b";".join([said, *(entry for entry in kept if entry.startswith(b"rv:"))])
    return w3c.put_first(state, b"ot", new)


def _ot(threshold: int, randomness: int | None, decider: Decider) -> bytes:
    said = b"th:" + thresholds.written(threshold)
    return said + b";rv:%014x" % randomness if decider.hashes and randomness is not None else said


def _randomness(trace_id: bytes, decider: Decider) -> int | None:
    plain = thresholds.of_trace_id(trace_id)
    if plain is None or not decider.hashes:
        return plain
    return thresholds.of_hash(trace_id, decider.seed)


def _text(record: Any, key: str) -> bytes:
    found = find(record.attributes, key)
    return b"" if found is None else found.string_value.encode()


def _content(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def make(settings: Settings, context: Context) -> Sampler:
    return Sampler(settings, context)
