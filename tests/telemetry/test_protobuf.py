"""What we write is what the generated classes read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.telemetry import protobuf

from .exchanges import attributes

INT64 = st.integers(-(2**63), 2**63 - 1)
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
VALUES = (
    STRINGS | st.booleans() | INT64 | st.floats(allow_nan=False) | st.lists(STRINGS, max_size=4)
)


@settings(deadline=None)  # a busy machine is not a failure
@given(st.dictionaries(STRINGS, VALUES, max_size=5))
def test_attributes_of_every_type_are_read_back(pairs: dict[str, protobuf.Value]) -> None:
    decoded = Span.FromString(protobuf.attributes(9, pairs.items()))

    assert attributes(decoded) == pairs


@settings(deadline=None)  # a busy machine is not a failure
@given(STRINGS)
@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 4096])
def test_a_text_attribute_is_the_same_as_a_general_one(size: int, end: str) -> None:
    value = ("x" * size + end).encode()[: protobuf.TEXT_LIMIT].decode("utf-8", "ignore")
    encoder = protobuf.TextAttribute(9, "url.path")

    assert encoder.encode(value.encode()) == protobuf.attributes(9, [("url.path", value)])


@settings(deadline=None)  # a busy machine is not a failure
@given(st.integers(0, 2**63 - 1))
def test_an_int_attribute_is_the_same_as_a_general_one(value: int) -> None:
    encoder = protobuf.IntAttribute(9, "server.port")

    assert encoder.encode(value) == protobuf.attributes(9, [("server.port", value)])


@settings(deadline=None)  # a busy machine is not a failure
@given(st.binary(max_size=100) | st.text(st.characters(), max_size=100))
def test_any_input_becomes_valid_utf8(value: bytes | str) -> None:
    assert protobuf.text(value).decode("utf-8") is not None


@pytest.mark.parametrize(
    ("value", "character"),
    [("€" * 3000, "€"), (("€" * 3000).encode(), "€"), (b"\xff" * 5000, "\ufffd")],
)
def test_long_text_is_cut_between_characters(value: str | bytes, character: str) -> None:
    assert protobuf.text(value).decode("utf-8") == character * (4096 // 3)


@settings(deadline=None)  # a busy machine is not a failure
@given(INT64)
def test_negative_numbers_are_two_s_complement(value: int) -> None:
    decoded = Span.FromString(protobuf.tag(10, protobuf.VARINT) + protobuf.varint(value))

    assert decoded.dropped_attributes_count == value & 0xFFFF_FFFF
