"""Durations, sizes and shares, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.units import Seconds, Share, Size, seconds_text, size_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("2s", 2),
        ("1m30s", 90),
        ("1m 30s", 90),
        ("1.5h", 5400),
        ("10us", 1e-5),
        ("1d", 86400),
        (0, 0),
        ("0s", 0),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert Seconds.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64KiB", 65536), ("8MB", 8_000_000), ("1.5 GiB", 1610612736), ("7b", 7), (0, 0)],
)
def test_sizes(text: object, size: int) -> None:
    assert Size.parse(text) == size


@pytest.mark.parametrize("raw", [5, 1.5, "5", "", "s", "5 s x", "-5s", "5S", True, None, [], {}])
def test_what_is_no_duration(raw: object) -> None:
    with pytest.raises(ValueError, match=r"write|needs a unit"):
        Seconds.parse(raw)


@pytest.mark.parametrize(
    "raw", [5, "5", "", "KiB", "-5B", "5 KiBs", True, None, [], "9" * 400 + "GB"]
)
def test_what_is_no_size(raw: object) -> None:
    with pytest.raises(ValueError, match="write"):
        Size.parse(raw)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (10, "did you mean 0.1"),
        (1.01, "from 0 to 1"),
        (-0.1, "from 0 to 1"),
        (1000, "from 0 to 1"),
        (float("nan"), "from 0 to 1"),
        ("0.1", "write a number"),
        (True, "write a number"),
    ],
)
def test_what_is_no_share(raw: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Share.parse(raw)


@given(st.integers(0, 10**14))
def test_a_written_duration_is_read_as_itself(micros: int) -> None:
    assert Seconds.parse(seconds_text(micros / 1e6)) == pytest.approx(micros / 1e6)


@given(st.integers(0, 2**50))
def test_a_written_size_is_read_as_itself(size: int) -> None:
    assert Size.parse(size_text(size)) == size
