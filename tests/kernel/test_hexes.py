"""Ids and `traceparent` in C and in Python: the same, for what is valid and for what is not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.kernel import hexes as kernel
from proxy.kernel.chance import source
from tests.kernel.twins import plain

twin = plain("proxy.kernel.hexes")

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00-" + TRACE + b"-00f067aa0ba902b7-01"

hexes = st.text("0123456789abcdef", max_size=40).map(str.encode)
nearly = st.text("09afg/:`AF-G\x80", max_size=40).map(lambda text: text.encode("latin-1"))


@given(st.integers(0, 54), st.integers(0, 255))
def test_a_parent_with_any_byte_anywhere(place: int, byte: int) -> None:
    header = PARENT[:place] + bytes([byte]) + PARENT[place + 1 :]
    assert kernel.split_parent(header) == twin.split_parent(header)


@pytest.mark.parametrize(
    "header",
    [
        PARENT,
        PARENT[:-1],
        PARENT + b"0",
        PARENT.upper(),
        b" " + PARENT[1:],
        b"00-" + b"0" * 32 + PARENT[35:],
        PARENT[:36] + b"0" * 16 + PARENT[52:],
        b"00-" + b"0" * 31 + b"1-" + b"0" * 15 + b"1-ff",
        b"00-" + b"1" + b"0" * 31 + b"-1" + b"0" * 15 + b"-00",
        b"01" + PARENT[2:],
        b"",
        b"-" * 55,
    ],
)
def test_parents(header: bytes) -> None:
    assert kernel.split_parent(header) == twin.split_parent(header)


def test_every_byte_as_a_digit() -> None:
    for byte in range(256):
        for place in (3, 10, 34, 36, 51, 53, 54):
            header = PARENT[:place] + bytes([byte]) + PARENT[place + 1 :]
            assert kernel.split_parent(header) == twin.split_parent(header)
        value = b"a" * 7 + bytes([byte])
        assert kernel.is_hex(value, 8) == twin.is_hex(value, 8)


@given(st.binary(max_size=60) | hexes | nearly)
def test_any_bytes_as_a_parent(value: bytes) -> None:
    assert kernel.split_parent(value) == twin.split_parent(value)
    for digits in (len(value), 16, 32):
        assert kernel.is_hex(value, digits) == twin.is_hex(value, digits)


@given(hexes, hexes, st.integers(0, 255), st.sampled_from([b"", b"a=b"]))
@example(TRACE, b"00f067aa0ba902b7", 3, b"")
def test_writing_a_parent(trace_id: bytes, span_id: bytes, flags: int, state: bytes) -> None:
    made = kernel.parent_fields(trace_id, span_id, flags, state)
    assert made == twin.parent_fields(trace_id, span_id, flags, state)


@given(hexes, hexes | st.sampled_from([b"", b"g", b"0", b"8" + b"0" * 13]))
@example(TRACE, TRACE[-14:])
@example(TRACE[-14:], TRACE[-14:])
def test_bounds(trace_id: bytes, bound: bytes) -> None:
    assert kernel.reaches(trace_id, bound) == twin.reaches(trace_id, bound)


BITS = st.integers(0, 2**128 - 1) | st.sampled_from([0, 1, 2**64, 2**64 - 1, 2**127])


@given(BITS)
def test_ids_of_given_bits(bits: int) -> None:
    def trace(number: int) -> int:
        assert number == 128
        return bits

    def span(number: int) -> int:
        assert number == 64
        return bits >> 64

    assert kernel.trace_id(trace) == twin.trace_id(trace)
    assert kernel.request_id(trace) == twin.request_id(trace)
    assert kernel.span_id(span) == twin.span_id(span)


@pytest.mark.parametrize("bits", [-1, 2**128, 2**200])
@pytest.mark.parametrize("name", ["trace_id", "request_id", "span_id"])
def test_numbers_that_are_no_such_bits(bits: int, name: str) -> None:
    for module in (kernel, twin):
        with pytest.raises((OverflowError, ValueError)):  # which one is the interpreter's choice
            getattr(module, name)(lambda _: bits)


def test_the_same_chance_gives_the_same_ids() -> None:
    one, other = random.Random(1).getrandbits, random.Random(1).getrandbits
    for _ in range(100):
        assert kernel.trace_id(one) == twin.trace_id(other)
        assert kernel.span_id(one) == twin.span_id(other)


@pytest.mark.parametrize(
    ("make", "digits"), [(kernel.trace_id, 32), (kernel.request_id, 32), (kernel.span_id, 16)]
)
def test_ids_of_the_kernels_own_chance(make: Callable[[object], bytes], digits: int) -> None:
    bits = source(bytes(range(32)))
    made = [make(bits) for _ in range(2000)]
    assert {len(i) for i in made} == {digits}
    assert len(set(made)) == 2000
    for place in range(digits):  # each of 16 digits about 125 times
        seen = [sum(i[place] == digit for i in made) for digit in b"0123456789abcdef"]
        assert sum(seen) == 2000
        assert min(seen) > 60 and max(seen) < 210


@pytest.mark.parametrize("value", [None, "text", bytearray(b"x" * 55), 3])
def test_other_types_are_refused_and_do_no_harm(value: object) -> None:
    for call in (
        lambda: kernel.is_hex(value, 3),  # type: ignore[arg-type]
        lambda: kernel.parent_fields(value, b"", 0, b""),  # type: ignore[arg-type]
        lambda: kernel.parent_fields(b"", value, 0, b""),  # type: ignore[arg-type]
        lambda: kernel.parent_fields(b"", b"", 0, value),  # type: ignore[arg-type]
        lambda: kernel.reaches(value, b""),  # type: ignore[arg-type]
    ):
        if kernel.__file__.endswith(".py"):
            continue
        with pytest.raises(TypeError):
            call()


@given(
    st.binary(max_size=40) | st.text("0123456789abcdef", min_size=32, max_size=32).map(str.encode)
)
@example(b"a" * 16 + b"0" * 16)
@example(TRACE)
def test_a_request_id_tells_its_span(value: bytes) -> None:
    if len(value) != 32:
        for module in (kernel, twin):
            with pytest.raises(ValueError, match="digits"):
                module.span_of(value)
        return
    found = kernel.span_of(value)
    assert found == twin.span_of(value)
    assert found == (value[16:] if value[16:] != b"0" * 16 else b"0" * 15 + b"1")
