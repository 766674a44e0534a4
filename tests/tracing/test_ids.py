"""Ids are lower-case hex of the right length, keep all their random bits, and are never zero."""

from __future__ import annotations

import random

import pytest

from proxy.tracing import ids


@pytest.mark.parametrize(("make", "digits"), [(ids.trace_id, 32), (ids.span_id, 16)])
def test_shape(make: type, digits: int) -> None:
    bits = random.Random(7).getrandbits
    made = [make(bits) for _ in range(100)]
    assert {len(i) for i in made} == {digits}
    assert len(set(made)) == 100
    assert not b"".join(made).translate(None, b"0123456789abcdef")


@pytest.mark.parametrize(
    ("make", "bits", "expected"),
    [
        (ids.trace_id, 0xABC, b"0" * 29 + b"abc"),
        (ids.trace_id, 2**128 - 1, b"f" * 32),
        (ids.trace_id, 0, b"0" * 31 + b"1"),
        (ids.span_id, 0xABC, b"0" * 13 + b"abc"),
        (ids.span_id, 0, b"0" * 15 + b"1"),
    ],
)
def test_from_bits(make: type, bits: int, expected: bytes) -> None:
    assert make(lambda _: bits) == expected
