from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import WHY_PLAIN
from proxy.kernel import ends
from tests.kernel.twins import twin

TWIN = twin("ends")


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"a", b""])), st.integers(0, 40)
)
def test_both_find_the_same_blank_line(pieces: list[bytes], start: int) -> None:
    data = b"".join(pieces)
    found = ends.find_blank(data, ends.BLANK, start)
    assert found == TWIN.find_blank(data, TWIN.BLANK, start)
    assert ends.BLANK == TWIN.BLANK


@given(st.integers(0, 2**63 - 1))
def test_both_write_the_same_line(length: int) -> None:
    assert (
        ends.length_line(length) == TWIN.length_line(length) == b"content-length: %d\r\n" % length
    )


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_both_cut_and_join_alike(first: bytes, second: bytes) -> None:
    whole = ends.joined(first, second)
    assert whole == TWIN.joined(first, second) == first + second
    assert ends.behind(whole, first) == TWIN.behind(whole, first) == second
    assert ends.upto(whole, len(first)) == TWIN.upto(whole, len(first)) == first


@pytest.mark.skipif(bool(WHY_PLAIN), reason="the kernel alone refuses")
@pytest.mark.parametrize("end", [-1, 4, 1 << 40])
def test_nothing_is_cut_beyond_the_bytes(end: int) -> None:
    with pytest.raises(ValueError, match="fewer"):
        ends.upto(b"abc", end)
    with pytest.raises(ValueError, match="begin"):
        ends.behind(b"abc", b"abcd")


@pytest.mark.skipif(bool(WHY_PLAIN), reason="the kernel alone refuses")
def test_no_length_is_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        ends.length_line(-1)
