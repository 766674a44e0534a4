"""Spans counted where they lie: what the library reads of them, and the same as the twin."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from proxy.kernel import tally
from proxy.kernel.wire_error import WireError
from tests.kernel import otlp_samples
from tests.kernel.twins import twin

TWIN: Any = twin("tally")
LIMITS = (1 << 60, 1 << 50)
NAMES = (b"http.route", b"k")
START = 1_000_000_000


def counted(module: Any, data: bytes, place: tuple[int, int] | None = None) -> Any:
    """Everything that is seen of a count: keys with numbers, what was opened, what was raised."""
    known: dict[bytes, Any] = {}
    opened: list[tuple[bytes, int, int]] = []
    number = 0

    def open_(key: bytes, begin: int, end: int) -> Any:
        opened.append((key, begin, end))
        if len(key) % 5 == 4:
            return None
        made = known[key] = module.Tally()
        made.durations = module.Buckets([1.0, 2.5, 1e3]) if len(key) % 3 else None
        made.exemplars = [] if len(key) % 2 else None
        return made

    digest = module.Digest(NAMES, 1e6, LIMITS, lambda state: len(state) / 2)
    raised = False
    try:
        number = digest.count(data, place or (0, len(data)), known, 7, open_)
    except WireError:
        raised = True
    return raised, number, opened, {key: said(one) for key, one in known.items()}


def said(one: Any) -> Any:
    buckets = one.durations
    shape = None if buckets is None else (buckets.bounds, buckets.counts, buckets.sum)
    return one.calls, one.seen, shape, one.exemplars


def check(data: bytes) -> None:
    assert counted(tally, data) == counted(TWIN, data), data.hex()


@given(st.binary(max_size=300))
@example(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x12\x00" * 3)
@example(b"\x12\x09\x39\0\0\0\0\0\0\0\0\x12\x08\x39\0\0\0\0\0\0\0")
@example(b"\x00\x00")
@example(b"\x0b\x0c")
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(st.integers(0, 2**32))
def test_spans_with_anything_in_them(seed: int) -> None:
    random = Random(seed)
    for faults in (0.0, 0.1):
        request = otlp_samples.request("traces", random, faults=faults)
        for envelope in request.resource_spans:
            for scope in envelope.scope_spans:
                whole = scope.SerializeToString()
                check(whole)
                check(otlp_samples.garbled(whole, random))


def scope(*spans: Span) -> bytes:
    return ScopeSpans(spans=spans).SerializeToString()


def span(took: int = 0, **more: Any) -> Span:
    return Span(start_time_unix_nano=START, end_time_unix_nano=START + took, **more)


@pytest.mark.parametrize("module", [tally, TWIN])
def test_what_is_counted(module: Any) -> None:
    known: dict[bytes, Any] = {}
    data = b"before" + scope(
        span(1_000_000, name="a", trace_id=b"t", span_id=b"s"),
        span(3_500_000, name="a", trace_state="1234"),
        span(-1, name="a"),
    )

    def open_(key: bytes, begin: int, end: int) -> Any:
        assert Span.FromString(data[begin:end]).name == "a"
        made = known[key] = module.Tally()
        made.durations, made.exemplars = module.Buckets([1, 2.5]), []
        return made

    digest = module.Digest((), 1e6, LIMITS, lambda state: 10.0)
    assert digest.count(data, (6, len(data)), known, 99, open_) == 1
    (one,) = known.values()
    assert (one.calls, one.seen) == (12.0, 99)
    assert (one.durations.counts, one.durations.sum) == ([1.0, 0.0, 10.0], 36.0)
    assert one.exemplars == [(b"t", b"s", 1.0, START + 1_000_000)]


@pytest.mark.parametrize("module", [tally, TWIN])
def test_keys_tell_apart_what_may_be_counted_apart(module: Any) -> None:
    def pair(key: str, value: str) -> Any:
        return {"key": key, "value": {"string_value": value}}

    different = [
        span(),
        span(name="a"),
        span(name="ab"),
        span(name="a", kind=Span.SPAN_KIND_CLIENT),
        span(name="a", status={"code": 1}),
        span(name="a", status={"code": 2}),
        span(name="a", attributes=[pair("k", "a")]),
        span(name="a", attributes=[pair("http.route", "a")]),
        span(name="", attributes=[pair("k", "a")]),
    ]
    same = [span(name="a", attributes=[pair("other", "a")], trace_id=b"x" * 16)]
    _, _, opened, _ = counted(module, scope(*different, *same))
    assert len({key for key, _, _ in opened}) == len(different)


@pytest.mark.parametrize("module", [tally, TWIN])
@pytest.mark.parametrize("place", [(0, 9), (-1, 2), (3, 9)])
def test_places_outside_are_refused(module: Any, place: tuple[int, int]) -> None:
    with pytest.raises((IndexError, WireError)):
        module.Digest((), 1.0, LIMITS, None).count(b"\x12\x00", place, {}, 0, lambda *_: None)


@given(st.lists(st.floats(0, 1e12), max_size=20), st.lists(st.floats(0, 1e12), max_size=30))
def test_histograms_are_the_same(bounds: list[float], values: list[float]) -> None:
    bounds = sorted(set(bounds))
    ours, theirs = tally.Buckets(bounds), TWIN.Buckets(bounds)
    for number, value in enumerate([*values, *bounds]):
        ours.add(value, 1 + number / 3)
        theirs.add(value, 1 + number / 3)
    assert (ours.bounds, ours.counts, ours.sum) == (theirs.bounds, theirs.counts, theirs.sum)
