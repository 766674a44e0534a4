"""Accept-Encoding: the RFC's examples, browsers' values, and whatever else may come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.accept_encoding import preferred, weights

OURS = (b"zstd", b"br", b"gzip")
CHOICES = [
    # RFC 9110 §12.5.3
    (b"compress, gzip", b"gzip"),
    (b"", b""),
    (b"*", b"zstd"),
    (b"compress;q=0.5, gzip;q=1.0", b"gzip"),
    (b"gzip;q=1.0, identity; q=0.5, *;q=0", b"gzip"),
    # browsers and clients
    (b"gzip, deflate, br, zstd", b"zstd"),
    (b"gzip, deflate, br", b"br"),
    (b"gzip, deflate", b"gzip"),
    (b"identity", b""),
    (b"deflate", b""),
    (b"x-gzip", b"gzip"),
    # weights
    (b"br;q=0.9, gzip", b"gzip"),
    (b"zstd;q=0.5, br;q=0.5, gzip;q=0.4", b"zstd"),
    (b"gzip;q=0.001", b"gzip"),
    (b"gzip;q=0", b""),
    (b"gzip;q=0.000", b""),
    (b"zstd;q=0, *", b"br"),
    (b"*;q=0", b""),
    (b"*;q=0.5, br;q=0", b"zstd"),
    (b"identity;q=0", b""),  # nothing that there is: as it is
    (b"identity;q=0, gzip;q=0.1", b"gzip"),
    (b"identity, gzip;q=0.5", b""),
    (b"identity;q=0.5, gzip;q=0.5", b"gzip"),
    (b"identity;q=0.5, *;q=0.1", b""),
    # case and blanks
    (b"GZIP ; Q=0.5", b"gzip"),
    (b"gzip\t;\tq=1.000", b"gzip"),
    (b",, gzip,,", b"gzip"),
    # malformed members count for nothing
    (b"gzip;q=2", b""),
    (b"gzip;q=-1", b""),
    (b"gzip;q=0.1234", b""),
    (b"gzip;q=.5", b""),
    (b"gzip;q=", b""),
    (b"gzip;level=9", b""),
    (b"gzip;q=1;q=0", b""),
    (b"gzip;q=nan, br", b"br"),
    (b";q=1", b""),
    (b"gzip;q=0, gzip;q=1", b""),  # the first one counts
]


@pytest.mark.parametrize(("field", "coding"), CHOICES)
def test_choices(field: bytes, coding: bytes) -> None:
    assert preferred(field, OURS) == coding


def test_no_field_is_no_wish() -> None:
    assert preferred(None, OURS) == b""


def test_the_route_s_order_decides_between_equals() -> None:
    assert preferred(b"gzip, br, zstd", (b"gzip", b"zstd")) == b"gzip"
    assert preferred(b"br", (b"gzip",)) == b""


def test_many_members_cost_little() -> None:
    assert len(weights(b",".join(b"c%d" % n for n in range(10_000)))) == 64


WEIGHT = st.integers(0, 1000)
NAME = st.sampled_from([b"zstd", b"br", b"gzip", b"identity", b"*", b"deflate"])


@given(st.dictionaries(NAME, WEIGHT))
def test_the_choice_is_what_the_rfc_says(said: dict[bytes, int]) -> None:
    """As §12.5.3 puts it, from weights and not from text."""
    field = b", ".join(b"%b;q=%d.%03d" % (n, w // 1000, w % 1000) for n, w in said.items())
    assert weights(field) == said

    def weight(coding: bytes) -> int:
        return said.get(coding, said.get(b"*", 0))

    found = preferred(field, OURS)
    best = max(weight(coding) for coding in OURS)
    if found:
        assert weight(found) == best > 0 and best >= said.get(b"identity", 0)
        assert all(weight(c) < best for c in OURS[: OURS.index(found)])
    else:
        assert best == 0 or best < said.get(b"identity", 0)


@given(st.binary(max_size=100))
def test_anything(field: bytes) -> None:
    assert preferred(field, OURS) in (b"", *OURS)
    assert all(0 <= weight <= 1000 for weight in weights(field).values())
