"""A request's trace from headers to headers: parent or new, linked or not, recorded or not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tracing.context import TraceContext
from proxy.tracing.decision import start
from proxy.tracing.propagate import TRACE_FIELDS, Extractor, Injector
from proxy.tracing.sampling import Kind, Sampler
from proxy.tracing.trust import Untrusted

from . import cases

BOTH = Extractor(["w3c", "b3"])
BITS = random.Random(3).getrandbits
W3C = {b"traceparent": cases.W3C + b"-01"}
ALWAYS = Sampler("parent", 1.0)
NEVER = Sampler("parent", 0.0)


def ones(bits: int) -> int:
    """Random bits of which the highest sampling threshold is satisfied."""
    return (1 << bits) - 1


def test_a_new_trace() -> None:
    trace_id, parent, link, sampled, is_random = start({}, True, BOTH, ALWAYS, "link", BITS)
    assert len(trace_id) == 32
    assert (parent, link, sampled, is_random) == (None, None, True, True)


@pytest.mark.parametrize(
    ("flags", "sampled", "is_random"),
    [(b"00", False, False), (b"01", True, False), (b"02", False, True), (b"03", True, True)],
)
def test_a_trusted_parent_is_obeyed_and_its_random_flag_kept(
    flags: bytes, sampled: bool, is_random: bool
) -> None:
    fields = {b"traceparent": cases.W3C + b"-" + flags}
    for sampler in (ALWAYS, NEVER):
        decision = start(fields, True, BOTH, sampler, "link", BITS)
        expected = TraceContext(cases.TRACE, cases.SPAN, sampled, random=is_random)
        assert decision == (cases.TRACE, expected, None, sampled, is_random)


def test_a_stranger_becomes_a_link_and_its_flag_is_ignored() -> None:
    trace_id, parent, link, sampled, is_random = start(W3C, False, BOTH, NEVER, "link", BITS)
    assert trace_id != cases.TRACE
    assert parent is None
    assert link == cases.context(True)
    assert (sampled, is_random) == (False, True)


def test_a_stranger_is_dropped() -> None:
    trace_id, parent, link, _, _ = start(W3C, False, BOTH, ALWAYS, "drop", BITS)
    assert trace_id != cases.TRACE
    assert (parent, link) == (None, None)


@pytest.mark.parametrize(
    "fields", [{b"b3": b"d"}, {b"b3": b"1"}, {b"x-b3-flags": b"1"}, {b"x-b3-sampled": b"1"}]
)
def test_a_stranger_cannot_force_a_trace(fields: dict[bytes, bytes]) -> None:
    _, parent, link, sampled, _ = start(fields, False, BOTH, NEVER, "link", BITS)
    assert (parent, link, sampled) == (None, None, False)


@pytest.mark.parametrize(
    ("header", "sampled", "sent"), [(b"0", False, b"-0"), (b"1", True, b"-1"), (b"d", True, b"-d")]
)
def test_a_trusted_bare_decision_is_obeyed_on_a_new_trace(
    header: bytes, sampled: bool, sent: bytes
) -> None:
    sampler = NEVER if sampled else ALWAYS
    decision = start({b"b3": header}, True, BOTH, sampler, "link", BITS)
    trace_id, parent, link, recorded, is_random = decision
    assert len(trace_id) == 32
    assert parent is not None
    assert parent.span_id == b""
    assert (link, recorded, is_random) == (None, sampled, True)
    (pair,) = Injector(["b3"]).inject(trace_id, cases.SPAN, recorded, is_random, parent)
    assert pair == (b"b3", trace_id + b"-" + cases.SPAN + sent)


def test_a_new_sampled_trace_says_how_many_it_stands_for() -> None:
    sampler = Sampler("parent", 0.1)
    trace_id, parent, _, sampled, is_random = start({}, True, BOTH, sampler, "link", ones)
    assert parent is not None
    assert parent.span_id == b""
    pairs = Injector(["w3c"]).inject(trace_id, cases.SPAN, sampled, is_random, parent)
    assert pairs[1] == (b"tracestate", b"ot=th:e666")


def test_one_requests_state_does_not_reach_another() -> None:
    sampler = Sampler("parent", 0.1)
    start({}, True, BOTH, sampler, "link", ones)
    fields = {b"traceparent": cases.W3C + b"-01", b"tracestate": b"secret=1"}
    start(fields, True, BOTH, sampler, "link", ones)
    _, parent, _, _, _ = start({}, True, BOTH, sampler, "link", ones)
    assert parent is not None
    assert parent.state == b"ot=th:e666"


HEADERS = st.sampled_from(
    [case.fields for case in cases.BOTH + cases.INWARD] + [{b"b3": b} for b in cases.INVALID_SINGLE]
)
KINDS: list[Kind] = ["parent", "ratio", "always", "never"]
MODES: list[Untrusted] = ["link", "drop"]


@given(
    HEADERS | st.dictionaries(st.sampled_from(sorted(TRACE_FIELDS)), st.binary(max_size=60)),
    st.booleans(),
    st.builds(Sampler, st.sampled_from(KINDS), st.sampled_from([0.0, 0.0001, 0.3, 1.0])),
    st.sampled_from(MODES),
    st.integers(0, 2**128 - 1),
)
def test_the_flag_sent_is_the_decision_made(
    fields: dict[bytes, bytes],
    trusted: bool,
    sampler: Sampler,
    untrusted: Untrusted,
    bits: int,
) -> None:
    """Half a trace is what one gets where a proxy sends on another flag than it acted on."""
    trace_id, parent, link, sampled, is_random = start(
        fields, trusted, BOTH, sampler, untrusted, lambda n: bits & ones(n)
    )
    assert parent is None or not parent.span_id or link is None  # one without ids is ours
    assert link is None or not trusted
    for name in ("w3c", "b3", "b3multi"):
        pairs = Injector([name]).inject(trace_id, cases.PARENT, sampled, is_random, parent)
        sent = Extractor([name]).extract(dict(pairs))
        assert sent is not None
        assert (sent.trace_id, sent.span_id, sent.sampled) == (trace_id, cases.PARENT, sampled)
        if name == "w3c":
            assert sent.random is is_random
