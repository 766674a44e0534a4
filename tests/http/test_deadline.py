"""X-Request-Deadline: what it says, from whoever it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http import deadline

NOW = 1_764_374_400_000_000_000  # Unix time in ns

READ = {
    b"1.25": 1_250_000_000,
    b"3": 3_000_000_000,
    b"0.000000001": 1,
    b"0": 0,
    b"0.0": 0,
    b"-1": 0,
    b"-0.5": 0,
    b"999999999": 999_999_999_000_000_000,
    b"1000000000": 0,  # a time that has passed
    b"1764374400.5": 500_000_000,
    b"1764374399.999": 0,
    b"9999999999": 9_999_999_999_000_000_000 - NOW,
}


@pytest.mark.parametrize("value", READ, ids=bytes.decode)
def test_what_is_left(value: bytes) -> None:
    assert deadline.parse(value, NOW) == READ[value]


@pytest.mark.parametrize(
    "value",
    (
        *(b"", b" 1", b"1s", b"1.", b".5", b"1e3", b"+1", b"1, 2", b"12345678901"),
        *(b"1.0000000001", b"inf", b"NaN", b"0x10", b"1_0", "١".encode(), b"--1", b"1\n"),
        b"2026-11-28T12:00:00Z",
    ),
)
def test_malformed(value: bytes) -> None:
    assert deadline.parse(value, NOW) is None


@given(st.binary(max_size=30))
def test_any_bytes_are_a_span_or_nothing(value: bytes) -> None:
    found = deadline.parse(value, NOW)
    assert found is None or 0 <= found < 10**19


@given(st.integers(-(10**18), 10**18 - 1))
def test_what_is_written_is_read_as_no_more_than_it_was(ns: int) -> None:
    found = deadline.parse(deadline.left(ns), NOW)
    assert found is not None
    assert found == 1_000_000 if ns < 2_000_000 else ns - 1_000_000 < found <= ns
