"""What is particular to B3; the rules of both its forms are rows of cases.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tracing import b3

from . import cases


def test_a_64_bit_id_keeps_its_low_half() -> None:
    context = b3.parse_single(cases.SHORT + b"-" + cases.SPAN + b"-1")
    assert context is not None
    assert len(context.trace_id) == 32
    assert context.trace_id.endswith(cases.SHORT)


@pytest.mark.parametrize("inject", [b3.inject_single, b3.inject_multi])
def test_the_parent_span_is_never_sent(inject: type) -> None:
    context = b3.parse_single(b"-".join((cases.TRACE, cases.SPAN, b"1", cases.PARENT)))
    pairs = inject(cases.TRACE, b"b" * 16, True, False, context)
    assert not any(cases.PARENT in value or b"parent" in name for name, value in pairs)


def test_debug_takes_the_place_of_sampled() -> None:
    names = [n for n, _ in b3.inject_multi(b"a", b"b", True, False, b3.parse_single(b"d"))]
    assert names == [b"x-b3-traceid", b"x-b3-spanid", b"x-b3-flags"]


@given(st.text("0123456789abcdefABCDEFd-g ", max_size=80).map(str.encode) | st.binary())
def test_any_header_yields_well_formed_ids_or_none(header: bytes) -> None:
    context = b3.parse_single(header)
    if context is not None:
        assert len(context.trace_id) in (0, 32)
        assert len(context.span_id) == len(context.trace_id) // 2
        assert not (context.trace_id + context.span_id).translate(None, b"0123456789abcdef")
        assert not context.debug or context.sampled
