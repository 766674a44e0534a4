"""Text of strangers, before it is on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.terminal.printable import printable

from .kit import ACTING, HOSTILE

ANY = st.text(st.characters()) | st.text(
    st.sampled_from("\x1b\x9b\x07\n\r\t\u202e\u2066\u2028\u200d\u0301\ud800\U000e0041[]a\u00e9€")
)


@given(ANY, st.integers(1, 300))
def test_nothing_gets_through_that_acts(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable() and len(shown) <= limit
    assert not ACTING.search(shown)


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_words_stay_as_they_are(text: str) -> None:
    assert printable(text, len(text) + 1) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain /path?x=1", "plain /path?x=1"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202egnp", r"\u202egnp"),
        ("café 漢字 ok", "café 漢字 ok"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + r"\u0301" * 2),
        ("\ud800", r"\ud800"),
        ("a\u00a0b", r"a\xa0b"),
        ("[red]x[/red]", "[red]x[/red]"),
    ],
)
def test_what_it_looks_like(text: str, shown: str) -> None:
    assert printable(text, 100) == shown


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abcdef\x1b", 7, "abcdef…"),  # an escape is whole or not there
        ("\x1b", 1, "…"),
        ("ab", 1, "…"),
    ],
)
def test_it_is_cut_with_a_sign(text: str, limit: int, shown: str) -> None:
    assert printable(text, limit) == shown


def test_a_megabyte_is_not_walked_through() -> None:
    assert printable("\x1b" * 2**20, 9) == r"\x1b\x1b…"
    assert printable(HOSTILE * 2**15, 5) == r"\x1b…"
