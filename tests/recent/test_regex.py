"""Patterns fit as `re` says, for what both know, and no text takes long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.recent.regex import MOST_TEXT, Regex

CASES = [
    ("", "", True), ("", "a", False), ("abc", "abc", True), ("a.c", "abc", True),
    ("a.c", "a\nc", False), ("shop|orders", "orders", True), ("shop|orders", "order", False),
    (".*order.*", "my orders", True), ("(ab)+", "abab", True), ("(?:ab){2}", "ab", False),
    ("a{2,3}", "aaa", True), ("a{2,3}", "aaaa", False), ("a{2,}", "aaaaa", True),
    ("[a-c]+", "abcab", True), ("[^a-c]+", "xyz", True), ("[]a]+", "]a", True), ("[a-]", "-", True),
    (r"\d+\.\d*", "12.5", True), (r"\w+\s\S+", "a_1 x", True), ("^5..$", "503", True),
    ("(?i)GET /.*", "get /x", True), ("(?i)^get$", "GET", True), ("a+?b", "aab", True),
    ("(a|)b", "b", True), ("()*", "", True), ("é+", "éé", True), (r"\n", "\n", True),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "fits"), CASES)
def test_whole_texts(pattern: str, text: str, fits: bool) -> None:
    assert Regex(pattern).fits(text) is fits
    assert bool(re.fullmatch(pattern, text)) is fits


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "a)", "[a", "[z-a]", "*", "a{2", "a{3,2}", "a{999}", "a{x}", "(?=a)"),
        *("(?P<n>a)", r"\1", r"\b", "a^b", "a$b", "\\", "x" * 600, "(" * 60 + ")" * 60),
        *("((a{99}){99}){99}", "(?:){99}{99}{99}{99}", "((){,99}){99}"),
    ],
)
def test_what_is_refused_is_told(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Regex(pattern)


LETTERS = st.sampled_from("ab")
PATTERNS = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", ""]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=8,
)


@given(PATTERNS, st.text(LETTERS, max_size=8))
def test_as_re_says(pattern: str, text: str) -> None:
    assert Regex(pattern).fits(text) == bool(re.fullmatch(pattern, text))


@given(st.text(max_size=40), st.text(max_size=10))
def test_any_pattern_is_one_or_is_refused(pattern: str, text: str) -> None:
    try:
        regex = Regex(pattern)
    except ValueError:
        return
    assert regex.fits(text) in (True, False)


def test_no_text_is_tried_again_and_again() -> None:
    """With `re` each of them outlives this test's time limit."""
    assert not Regex("(a+)+b").fits("a" * MOST_TEXT)
    assert not Regex("(.*)(.*)(.*)(.*)(.*)(.*)b").fits("a" * MOST_TEXT)
    assert not Regex("(a|a?)+b").fits("a" * MOST_TEXT)
