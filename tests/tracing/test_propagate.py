"""Formats in both directions: the table of cases, the order of formats, and round trips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tracing.context import TraceContext
from proxy.tracing.propagate import FORMATS, TRACE_FIELDS, Extractor, Injector

from . import cases

W3C = {b"traceparent": cases.W3C + b"-01"}
B3 = {b"b3": cases.SHORT + b"-" + cases.SPAN + b"-0"}

HEX = "0123456789abcdef"
trace_ids = st.text(HEX, min_size=32, max_size=32).map(str.encode).filter(lambda v: v.strip(b"0"))
span_ids = st.text(HEX, min_size=16, max_size=16).map(str.encode).filter(lambda v: v.strip(b"0"))
keys = st.from_regex(r"[a-z0-9][a-z0-9_\-*/@]{0,20}", fullmatch=True)
values = st.from_regex(r"[ -+\--<>-~]{0,20}[!-+\--<>-~]", fullmatch=True)
states = st.lists(st.tuples(keys, values).map("=".join), max_size=32).map(
    lambda members: ",".join(members).encode()
)


@pytest.mark.parametrize("case", cases.BOTH + cases.INWARD, ids=str)
def test_extract(case: cases.Case) -> None:
    assert Extractor([case.format]).extract(case.fields) == case.context


@pytest.mark.parametrize("case", cases.BOTH, ids=str)
def test_inject(case: cases.Case) -> None:
    context = case.context
    assert context is not None and context.sampled is not None
    pairs = Injector([case.format]).inject(
        context.trace_id, context.span_id, context.sampled, context.random, context
    )
    assert len(pairs) == len(case.fields)
    assert dict(pairs) == case.fields


@pytest.mark.parametrize("header", cases.INVALID_SINGLE)
def test_invalid_single_b3_is_no_context(header: bytes) -> None:
    assert Extractor(["b3"]).extract({b"b3": header}) is None


@pytest.mark.parametrize("fields", cases.INVALID_MULTI)
@pytest.mark.parametrize("name", ["b3", "b3multi"])
def test_invalid_multi_b3_is_no_context(name: str, fields: dict[bytes, bytes]) -> None:
    assert Extractor([name]).extract(fields) is None


@pytest.mark.parametrize(
    ("formats", "trace_id"),
    [
        (["w3c", "b3"], cases.TRACE),
        (["b3", "w3c"], cases.PADDED),
        (["b3multi", "w3c"], cases.TRACE),
        (["w3c"], cases.TRACE),
        (["b3"], cases.PADDED),
    ],
)
def test_first_configured_format_wins(formats: list[str], trace_id: bytes) -> None:
    context = Extractor(formats).extract(W3C | B3)
    assert context is not None
    assert context.trace_id == trace_id


def test_w3c_keeps_its_state_though_b3_is_there() -> None:
    context = Extractor(["w3c", "b3"]).extract(W3C | B3 | {b"tracestate": b"a=1"})
    assert context is not None
    assert context.state == b"a=1"


@pytest.mark.parametrize(
    ("formats", "fields"),
    [
        (["w3c", "b3"], B3 | {b"traceparent": b"00-nonsense"}),
        (["b3", "w3c"], B3 | {b"traceparent": b"00-nonsense"}),
    ],
)
def test_an_invalid_format_is_passed_over(formats: list[str], fields: dict[bytes, bytes]) -> None:
    context = Extractor(formats).extract(fields)
    assert context is not None
    assert context.trace_id == cases.PADDED


def test_state_of_an_invalid_parent_does_not_go_with_b3() -> None:
    fields = B3 | {b"traceparent": b"00-nonsense", b"tracestate": b"a=1"}
    context = Extractor(["w3c", "b3"]).extract(fields)
    assert context is not None
    assert context.state == b""


def test_nothing_configured_reads_and_writes_nothing() -> None:
    assert Extractor([]).extract(W3C | B3) is None
    assert Injector([]).inject(cases.TRACE, cases.SPAN, True, True, None) == []


@pytest.mark.parametrize("build", [Extractor, Injector])
def test_unknown_format(build: type[Extractor | Injector]) -> None:
    with pytest.raises(KeyError):
        build(["zipkin"])


def test_several_formats_are_written_together() -> None:
    context = cases.context(True, debug=True, state=b"a=1")
    pairs = Injector(["w3c", "b3", "b3multi"]).inject(
        cases.TRACE, cases.PARENT, True, False, context
    )
    assert pairs == [
        (b"traceparent", b"00-" + cases.TRACE + b"-" + cases.PARENT + b"-01"),
        (b"tracestate", b"a=1"),
        (b"b3", cases.TRACE + b"-" + cases.PARENT + b"-d"),
        (b"x-b3-traceid", cases.TRACE),
        (b"x-b3-spanid", cases.PARENT),
        (b"x-b3-flags", b"1"),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_a_debug_context_that_is_not_recorded_is_not_sent_as_debug(name: str) -> None:
    context = cases.context(True, debug=True)
    pairs = Injector([name]).inject(cases.TRACE, cases.SPAN, False, False, context)
    again = Extractor([name]).extract(dict(pairs))
    assert again is not None
    assert (again.sampled, again.debug) == (False, False)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_removed_before(name: str) -> None:
    context = cases.context(True, state=b"a=1")
    written = {n for n, _ in Injector([name]).inject(cases.TRACE, cases.SPAN, True, True, context)}
    assert written <= FORMATS[name].fields <= TRACE_FIELDS


def test_trace_fields() -> None:
    assert {b"traceparent", b"tracestate", b"b3", b"x-b3-parentspanid"} < TRACE_FIELDS
    assert all(name == name.lower() for name in TRACE_FIELDS)
    assert b"baggage" not in TRACE_FIELDS


@pytest.mark.parametrize("name", FORMATS)
@given(trace_ids, span_ids, st.booleans(), st.booleans(), st.booleans(), states)
def test_round_trip(
    name: str,
    trace_id: bytes,
    span_id: bytes,
    sampled: bool,
    random: bool,
    debug: bool,
    state: bytes,
) -> None:
    debug = debug and sampled and name != "w3c"  # only B3 can say it
    sent = TraceContext(trace_id, span_id, sampled, debug=debug, random=random, state=state)
    pairs = Injector([name]).inject(trace_id, span_id, sampled, random, sent)
    got = Extractor([name]).extract(dict(pairs))
    if name != "w3c":  # B3 has no place for these
        sent.random = False
        sent.state = b""
    assert got == sent


almost = st.one_of(
    st.binary(max_size=80),
    st.text("0123456789abcdefgABCDEF-,; =\t", max_size=80).map(str.encode),
    st.sampled_from([cases.W3C + b"-01", cases.TRACE, cases.SPAN, b"1", b"d", b"a=1"]),
)


@given(st.dictionaries(st.sampled_from(sorted(TRACE_FIELDS)), almost))
def test_arbitrary_headers_yield_nothing_or_something_that_can_be_sent(
    fields: dict[bytes, bytes],
) -> None:
    for name in FORMATS:
        context = Extractor([name]).extract(fields)
        if context is None or not context.trace_id:
            continue
        pairs = Injector(["w3c"]).inject(
            context.trace_id, context.span_id, True, context.random, context
        )
        again = Extractor(["w3c"]).extract(dict(pairs))
        assert again is not None
        assert (again.trace_id, again.span_id) == (context.trace_id, context.span_id)
        assert again.state == context.state
