"""The trace rules as rows of headers <-> context, read in both directions.

`BOTH` rows are extracted to the context and injected back to the same headers. `INWARD` rows are
other ways to say the same, or headers that say nothing (context None).
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.tracing.context import TraceContext

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
SHORT = b"a3ce929d0e0e4736"  # a 64-bit trace id
PADDED = b"0" * 16 + SHORT
SPAN = b"00f067aa0ba902b7"
PARENT = b"05e3ac9a4f6e3b90"
NO_TRACE = b"0" * 32
NO_SPAN = b"0" * 16

W3C = b"00-" + TRACE + b"-" + SPAN


@dataclass(frozen=True, slots=True)
class Case:
    """One row: in `format`, `fields` means `context`."""

    name: str
    format: str
    fields: dict[bytes, bytes]
    context: TraceContext | None

    def __str__(self) -> str:
        return f"{self.format}: {self.name}"


def context(
    sampled: bool | None,
    *,
    trace_id: bytes = TRACE,
    debug: bool = False,
    random: bool = False,
    state: bytes = b"",
) -> TraceContext:
    span_id = SPAN if trace_id else b""
    return TraceContext(trace_id, span_id, sampled, debug=debug, random=random, state=state)


def _w3c(flags: bytes, state: bytes = b"") -> dict[bytes, bytes]:
    fields = {b"traceparent": W3C + b"-" + flags}
    return {**fields, b"tracestate": state} if state else fields


def multi(**fields: bytes) -> dict[bytes, bytes]:
    """multi(traceid=…, sampled=…) -> the x-b3-… headers."""
    return {b"x-b3-" + name.encode(): value for name, value in fields.items()}


BOTH = [
    Case("not sampled", "w3c", _w3c(b"00"), context(False)),
    Case("sampled", "w3c", _w3c(b"01"), context(True)),
    Case("random", "w3c", _w3c(b"02"), context(False, random=True)),
    Case("sampled and random", "w3c", _w3c(b"03"), context(True, random=True)),
    Case("with state", "w3c", _w3c(b"01", b"a=1,b=2"), context(True, state=b"a=1,b=2")),
    Case("deny", "b3", {b"b3": TRACE + b"-" + SPAN + b"-0"}, context(False)),
    Case("accept", "b3", {b"b3": TRACE + b"-" + SPAN + b"-1"}, context(True)),
    Case("debug", "b3", {b"b3": TRACE + b"-" + SPAN + b"-d"}, context(True, debug=True)),
    Case(
        "deny",
        "b3multi",
        multi(traceid=TRACE, spanid=SPAN, sampled=b"0"),
        context(False),
    ),
    Case(
        "accept",
        "b3multi",
        multi(traceid=TRACE, spanid=SPAN, sampled=b"1"),
        context(True),
    ),
    Case(
        "debug",
        "b3multi",
        multi(traceid=TRACE, spanid=SPAN, flags=b"1"),
        context(True, debug=True),
    ),
]

_IDS = {"traceid": TRACE, "spanid": SPAN}

INWARD = [
    Case("no header", "w3c", {}, None),
    Case("state without parent", "w3c", {b"tracestate": b"a=1"}, None),
    Case("unknown flags", "w3c", _w3c(b"fd"), context(True)),
    Case("all flags", "w3c", _w3c(b"ff"), context(True, random=True)),
    Case("no header", "b3", {}, None),
    Case("deferred", "b3", {b"b3": TRACE + b"-" + SPAN}, context(None)),
    Case("parent", "b3", {b"b3": b"-".join((TRACE, SPAN, b"1", PARENT))}, context(True)),
    Case("parent, no state", "b3", {b"b3": b"-".join((TRACE, SPAN, PARENT))}, context(None)),
    Case("64 bits", "b3", {b"b3": SHORT + b"-" + SPAN + b"-1"}, context(True, trace_id=PADDED)),
    Case("upper case", "b3", {b"b3": (TRACE + b"-" + SPAN).upper() + b"-1"}, context(True)),
    Case("white space", "b3", {b"b3": b" " + TRACE + b"-" + SPAN + b"-1\t"}, context(True)),
    Case("deny alone", "b3", {b"b3": b"0"}, context(False, trace_id=b"")),
    Case("accept alone", "b3", {b"b3": b"1"}, context(True, trace_id=b"")),
    Case("debug alone", "b3", {b"b3": b"d"}, context(True, trace_id=b"", debug=True)),
    Case(
        "single before multi",
        "b3",
        {b"b3": TRACE + b"-" + SPAN + b"-1", **multi(traceid=SHORT, spanid=SPAN, sampled=b"0")},
        context(True),
    ),
    Case(
        "invalid single, then multi",
        "b3",
        {b"b3": b"nonsense", **multi(traceid=TRACE, spanid=SPAN, sampled=b"1")},
        context(True),
    ),
    Case(
        "single twice, then multi",
        "b3",
        {b"b3": b"1, 1", **multi(**_IDS)},
        context(None),
    ),
    Case("only multi", "b3", multi(**_IDS, sampled=b"1"), context(True)),
    Case("no header", "b3multi", {}, None),
    Case("single is not read", "b3multi", {b"b3": TRACE + b"-" + SPAN + b"-1"}, None),
    Case("deferred", "b3multi", multi(**_IDS), context(None)),
    Case("sampled: true", "b3multi", multi(**_IDS, sampled=b"true"), context(True)),
    Case("sampled: false", "b3multi", multi(**_IDS, sampled=b"false"), context(False)),
    Case("parent", "b3multi", multi(**_IDS, parentspanid=PARENT, sampled=b"1"), context(True)),
    Case(
        "64 bits",
        "b3multi",
        multi(traceid=SHORT, spanid=SPAN, sampled=b"1"),
        context(True, trace_id=PADDED),
    ),
    Case(
        "upper case",
        "b3multi",
        multi(traceid=TRACE.upper(), spanid=SPAN.upper(), sampled=b"1"),
        context(True),
    ),
    Case(
        "debug wins over sampled",
        "b3multi",
        multi(**_IDS, sampled=b"0", flags=b"1"),
        context(True, debug=True),
    ),
    Case("flags that are not 1", "b3multi", multi(**_IDS, flags=b"0"), context(None)),
    Case("deny alone", "b3multi", multi(sampled=b"0"), context(False, trace_id=b"")),
    Case("accept alone", "b3multi", multi(sampled=b"1"), context(True, trace_id=b"")),
    Case("debug alone", "b3multi", multi(flags=b"1"), context(True, trace_id=b"", debug=True)),
    Case("white space", "b3multi", multi(**_IDS, sampled=b" 1 "), context(True)),
]

# Each of these is no context at all, and so a new trace.
INVALID_SINGLE = [
    b"",
    b"-",
    b"2",
    b"D",
    b"true",
    b"0-",
    TRACE,
    TRACE + b"-",
    b"-" + SPAN,
    TRACE + b"-" + SPAN + b"-",
    TRACE + b"-" + SPAN + b"-2",
    TRACE + b"-" + SPAN + b"-D",
    TRACE + b"-" + SPAN + b"-1-",
    TRACE + b"-" + SPAN + b"-1-" + PARENT[1:],
    TRACE + b"-" + SPAN + b"-1-" + PARENT + b"-",
    TRACE + b"-" + SPAN + b"-1-" + PARENT + b"-1",
    TRACE + b"-" + SPAN + b"-" + PARENT + b"-1",
    TRACE[1:] + b"-" + SPAN,
    TRACE + b"-" + SPAN[1:],
    TRACE + b"0-" + SPAN,
    b"g" + TRACE[1:] + b"-" + SPAN,
    TRACE + b"-" + b"g" + SPAN[1:],
    NO_TRACE + b"-" + SPAN,
    NO_SPAN + b"-" + SPAN,
    TRACE + b"-" + NO_SPAN,
    TRACE + b"-" + SPAN + b"-1, " + TRACE + b"-" + SPAN + b"-1",
]

INVALID_MULTI = [
    multi(traceid=TRACE),
    multi(traceid=TRACE, sampled=b"1"),
    multi(spanid=SPAN),
    multi(traceid=TRACE[1:], spanid=SPAN, sampled=b"1"),
    multi(traceid=TRACE, spanid=SPAN[1:], sampled=b"1"),
    multi(traceid=b"x" + TRACE[1:], spanid=SPAN),
    multi(traceid=NO_TRACE, spanid=SPAN),
    multi(traceid=NO_SPAN, spanid=SPAN),
    multi(traceid=TRACE, spanid=NO_SPAN),
    multi(traceid=TRACE + b", " + TRACE, spanid=SPAN),
    multi(traceid=TRACE, spanid=SPAN, sampled=b"maybe"),
    multi(traceid=TRACE, spanid=SPAN, sampled=b"0, 1"),
    multi(sampled=b"2"),
    multi(flags=b"0"),
]
