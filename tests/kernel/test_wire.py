"""The wire scanner judges as the library does, and its twin reads the same fields."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import proxy
from proxy.kernel.wire import Schema, fields, survey
from proxy.otlp.messages import REQUESTS
from proxy.otlp.schema import SCHEMAS
from tests.kernel import differ_wire, otlp_samples

IDS = {"trace_id": b"t" * 16, "span_id": b"s" * 8}
compiled = pytest.mark.skipif(bool(proxy.WHY_PLAIN), reason="the twin knows nothing of requests")


@given(st.sampled_from(otlp_samples.SIGNALS), st.binary(max_size=300))
@example("traces", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example("traces", b"\x0a\xff\xff\xff\xff\x0f")
@example("traces", b"\x00\x00")
@example("traces", b"\x0b\x0c")
@example("traces", b"\x0d\x00\x00")
def test_any_bytes(signal: str, data: bytes) -> None:
    differ_wire.check(signal, data)


@given(st.integers(0, 2**32))
def test_requests_with_anything_in_them(seed: int) -> None:
    differ_wire.once(Random(seed))


def span(**more: Any) -> Any:
    made = REQUESTS["traces"]()
    made.resource_spans.add().scope_spans.add().spans.add(**{**IDS, **more})
    return made


@compiled
@pytest.mark.parametrize("text", ["", "a" * 7, "a" * 8, "é", "aaaaaaaé", "aaaaaaaaé", "日本語" * 9])
def test_texts_of_any_length(text: str) -> None:
    payload = span(name=text, trace_state=text[:-1]).SerializeToString()
    assert survey(SCHEMAS["traces"], payload, 9) == 1


@pytest.mark.parametrize(
    "raw",
    [
        *(b"\x80", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80"),
        *(b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xe6\x97", b"\xf0\x9f\x98", b"12345678\xff"),
        *(b"\xff12345678", b"1234567\xc3"),
    ],
)
def test_what_is_not_utf8_is_left_to_the_library(raw: bytes) -> None:
    payload = span(name="?" * len(raw)).SerializeToString().replace(b"?" * len(raw), raw)
    assert survey(SCHEMAS["traces"], payload, 9) == -1


FAULTY = [
    {"trace_id": bytes(16)},
    {"trace_id": b"t" * 15},
    {"span_id": b""},
    {"span_id": bytes(8)},
    {"parent_span_id": bytes(8)},
    {"links": [{"trace_id": b"t" * 16}]},
]


@pytest.mark.parametrize("more", FAULTY)
def test_what_has_to_be_mended_is_left_to_it_too(more: dict[str, Any]) -> None:
    assert survey(SCHEMAS["traces"], span(**more).SerializeToString(), 9) == -1


def test_too_many_parts_are_left_to_it_too() -> None:
    payload = span().SerializeToString()
    assert survey(SCHEMAS["traces"], payload, 2) == -1


@compiled
def test_fields_are_read_within_the_bytes() -> None:
    for start, end in ((0, 4), (-1, 2), (2, 99)):
        with pytest.raises(IndexError):
            fields(b"\x08\x01\x08", start, end)
    assert list(fields(b"\x08\x01", 2, 2)) == []


@compiled
def test_a_schema_that_does_not_fit_is_refused() -> None:
    for field in ((32, 9, 0, 0, b"x"), (0, 9, 0, 0, b"x"), (1, 11, 0, 1, b"x")):
        with pytest.raises(ValueError, match="does not fit"):
            Schema([(0, [field])])
