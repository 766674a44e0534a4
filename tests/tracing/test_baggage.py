"""Baggage passes whole up to the limits, and never in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tracing.baggage import MAX_BYTES, MAX_MEMBERS, passed_on

SIXTY_FOUR = [b"k%02d=v" % n for n in range(64)]
BIG = b"big=" + b"v" * (MAX_BYTES - 4)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"", b""),
        (b"  ", b""),
        (b"a=1", b"a=1"),
        (b" a=1;p;q=2 , b=%20 ", b"a=1;p;q=2 , b=%20"),
        (b"a=1, a=2", b"a=1, a=2"),
        (b"a=\xc3\xa4", b"a=\xc3\xa4"),
        (b",".join(SIXTY_FOUR), b",".join(SIXTY_FOUR)),
        (b",".join([*SIXTY_FOUR, b"k64=v"]), b",".join(SIXTY_FOUR)),
        (b"," * 100 + b"a=1", b"a=1"),
        (BIG, BIG),
        (BIG + b",a=1", BIG),
        (b"a=1," + BIG, b"a=1"),
        (BIG + b"v", b""),
        (BIG + b"v,a=1", b"a=1"),
        (BIG[:-4] + b",a=1", BIG[:-4] + b",a=1"),
        (b"a=1\r\nx-admin: 1", b""),
        (b"a=1\nb=2", b""),
        (b"a=1\0", b""),
    ],
)
def test_passed_on(value: bytes, sent: bytes) -> None:
    assert passed_on(value) == sent


@given(
    st.lists(st.integers(0, 600).map(lambda n: b"k=" + b"v" * n), max_size=80).map(b",".join)
    | st.binary()
)
def test_limits_hold_and_members_stay_whole(value: bytes) -> None:
    sent = passed_on(value)
    assert len(sent) <= MAX_BYTES
    assert sent.count(b",") < MAX_MEMBERS
    assert not set(sent) & set(b"\r\n\0")
    whole = [m.strip(b" \t") for m in value.split(b",")]
    assert all(m.strip(b" \t") in whole for m in sent.split(b",") if m)
