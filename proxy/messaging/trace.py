"""The trace of a message: read from its headers, written into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.kernel.hexes import split_parent
from proxy.messaging.message import Headers
from proxy.messaging.telemetry import CONSUMER, PRODUCER, Span, getrandbits
from proxy.tracing import decision
from proxy.tracing.context import TraceContext
from proxy.tracing.propagate import TRACE_FIELDS, Extractor, Injector
from proxy.tracing.sampling import Sampler

LONGEST = 8192  # bytes of a header that is read for trace context

# Producers may write any of these, whatever we write.
_extractor = Extractor(["w3c", "b3", "b3multi"])


def published(parent: str, state: str, destination: str) -> Span:
    """The PRODUCER span of a request whose SERVER span is `parent`, as W3C writes it. ValueError
    for what is none."""
    found = split_parent(parent.encode("latin-1"))
    if found is None:
        raise ValueError(f"{parent!r} is no traceparent")
    trace_id, span_id, flags = found
    return Span(
        trace_id,
        PRODUCER,
        "send",
        destination,
        parent=span_id,
        is_remote=False,  # the worker is this gateway too
        sampled=bool(flags & 1),
        random=bool(flags & 2),
        state=state.encode("latin-1", "replace"),
    ).begin()


def below(span: Span, destination: str) -> Span:
    """The PRODUCER span of what a span of ours sends."""
    return Span(
        span.trace_id, PRODUCER, "send", destination, parent=span.span_id, is_remote=False,
        sampled=span.sampled, random=span.random, state=span.state,
    ).begin()  # fmt: skip


def consumed(headers: Headers, destination: str, sampler: Sampler, link: bool) -> Span:
    """The CONSUMER span of a message with these headers: a child of its producer's span and linked
    to it, or with `link` the first of a new trace."""
    came = extract(headers)
    trace_id, context, other, sampled, random = decision.begin(
        came, not link, sampler, "link", getrandbits
    )
    span = Span(trace_id, CONSUMER, "process", destination, sampled=sampled, random=random)
    if context is not None:
        span.parent, span.state = context.span_id, context.state
    producer = other if other is not None else came
    if producer is not None and producer.trace_id and producer.span_id:
        span.links.append(producer)
    return span.begin()


def extract(headers: Headers) -> TraceContext | None:
    """What a message says of its trace. A field that it has twice says nothing that is certain."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = _lower(name)
        if lower in TRACE_FIELDS and len(value) <= LONGEST:
            fields[lower] = fields[lower] + b", " + value if lower in fields else value
    return _extractor.extract(fields)


def _lower(name: str) -> bytes:
    return name.lower().encode("utf-8", "replace")


def injected(
    headers: Headers, span: Span, formats: Sequence[str], random_flag: bool
) -> list[tuple[str, bytes]]:
    """The headers with the span's context in the place of any other."""
    kept = [pair for pair in headers if _lower(pair[0]) not in TRACE_FIELDS]
    return kept + [(name.decode(), value) for name, value in context(span, formats, random_flag)]


def context(
    span: Span, formats: Sequence[str], random_flag: bool = True
) -> list[tuple[bytes, bytes]]:
    """The fields that tell of a span; `random_flag`: as [tracing] says for who is not ourselves."""
    came = TraceContext(span.trace_id, span.span_id, span.sampled, state=span.state)
    injector = Injector(formats, random_flag=random_flag)
    return injector.inject(span.trace_id, span.span_id, span.sampled, span.random, came)


def pick(headers: Headers, wanted: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Those of a message whose lower-case names are wanted, once each: the last one counts."""
    found = {}
    for name, value in headers:
        lower = name.lower()
        if lower in wanted:
            found[wanted[lower]] = value
    return list(found.items())
