"""The grammar of `tracestate` in C and as a regular expression: the same for every value."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.kernel import states as kernel
from tests.kernel.twins import plain

twin = plain("proxy.kernel.states")

PARTS = st.sampled_from(
    [
        *("a=b", "a=b", "rojo=00f067aa0ba902b7", "t-_*/@1=x y  z", ",", ",", " ", "\t", "=", "a"),
        *("A=b", "a= b", "a=b ", "é", "\x7f", "\x00", "~", "k" * 255, "v" * 255, "a=" + " " * 255),
    ]
)


@given(st.lists(PARTS, max_size=70).map("".join))
@example("a=b" + " " * 300 + ",c=d")
@example("a=b\t \t,\t c=d")
@example("a=" + " " * 255 + "x")
@example("a=" + " " * 256 + "x")
@example("")
def test_soup(text: str) -> None:
    value = text.encode("latin-1")
    assert kernel.plain_members(value) == twin.plain_members(value)


@given(st.binary(max_size=40))
def test_any_bytes(value: bytes) -> None:
    assert kernel.plain_members(value) == twin.plain_members(value)


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_anywhere(byte: int) -> None:
    for before, after in [(b"", b"=b"), (b"a", b"=b"), (b"a=", b""), (b"a=b", b"c"), (b"a=b", b"")]:
        value = before + bytes([byte]) + after
        assert kernel.plain_members(value) == twin.plain_members(value)
        assert kernel.plain_members(b"x=y," + value) == twin.plain_members(b"x=y," + value)


@pytest.mark.parametrize("size", [1, 255, 256, 257])
def test_lengths(size: int) -> None:
    for value in (b"k" * size + b"=v", b"k=" + b"v" * size, b",".join([b"k=v"] * size)):
        assert kernel.plain_members(value) == twin.plain_members(value)


@pytest.mark.parametrize("count", [1, 31, 32, 33])
def test_numbers_of_members(count: int) -> None:
    value = b" ,\t".join([b"k=v"] * count)
    assert kernel.plain_members(value) == twin.plain_members(value)
    assert kernel.plain_members(value) == (count if count <= kernel.MAX_MEMBERS else 0)


@given(st.binary(max_size=20), st.binary(max_size=3))
@example(b"a=b,ot=th:8", b"th:")
@example(b"", b"")
def test_words(value: bytes, word: bytes) -> None:
    assert kernel.mentions(value, word) == twin.mentions(value, word) == (word in value)
