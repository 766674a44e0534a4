"""SPIFFE IDs: what is one, what is none and why, and whom a pattern holds for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spiffe import MOST, Pattern, SpiffeId, parse

DOMAINS = st.text("abcxyz019.-_", min_size=1, max_size=255)
SEGMENTS = st.text("aZ09.-_", min_size=1, max_size=20).filter(lambda s: s not in (".", ".."))
PATHS = st.lists(SEGMENTS, max_size=6)


@given(DOMAINS, PATHS)
def test_what_follows_the_grammar_is_read_as_it_was_written(domain: str, path: list[str]) -> None:
    text = "/".join([f"spiffe://{domain}", *path])
    found = parse(text)
    assert (found.domain, found.path) == (domain, "".join(f"/{segment}" for segment in path))
    assert str(found) == text


@given(st.text() | st.text().map(lambda rest: "spiffe://" + rest))
def test_anything_is_an_id_or_a_value_error(text: str) -> None:
    try:
        found = parse(text)
    except ValueError as error:
        assert str(error)
    else:
        assert str(found) == text and text.isascii() and len(text) <= MOST


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin"),
        ("https://mesh/a", "does not begin"),
        ("SPIFFE://mesh/a", "does not begin"),
        ("spiffe:/mesh/a", "does not begin"),
        ("spiffe:///a", "no trust domain"),
        ("spiffe://", "no trust domain"),
        ("spiffe://Mesh/a", "small letters"),
        ("spiffe://mesh:80/a", "small letters"),
        ("spiffe://me@mesh/a", "small letters"),
        ("spiffe://mésh/a", "small letters"),
        ("spiffe://" + "d" * 256 + "/a", "longer than 255"),
        ("spiffe://mesh/", "empty"),
        ("spiffe://mesh/a//b", "empty"),
        ("spiffe://mesh/a/", "empty"),
        ("spiffe://mesh/.", "no segment"),
        ("spiffe://mesh/a/../b", "no segment"),
        ("spiffe://mesh/a%2Fb", "letters, digits"),
        ("spiffe://mesh/a b", "letters, digits"),
        ("spiffe://mesh/a?x", "letters, digits"),
        ("spiffe://mesh/a#x", "letters, digits"),
        ("spiffe://mesh/a\n", "letters, digits"),
        ("spiffe://mesh/é", "letters, digits"),
        ("spiffe://mesh/" + "a" * MOST, "longer than 2048"),
    ],
)
def test_what_is_none_is_told_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


ME, NOBODY = SpiffeId("mesh", "/ns/shop"), None


@pytest.mark.parametrize(
    ("pattern", "who", "expected"),
    [
        ("*", ME, True),
        ("*", NOBODY, True),
        ("spiffe://*", ME, True),
        ("spiffe://*", NOBODY, False),
        ("spiffe://mesh/*", ME, True),
        ("spiffe://mesh/*", NOBODY, False),
        ("spiffe://mesh/*", SpiffeId("mesh2", "/ns/shop"), False),
        ("spiffe://mesh/ns/*", ME, True),
        ("spiffe://mesh/ns/*", SpiffeId("mesh", "/ns2/shop"), False),
        ("spiffe://mesh/ns/*", SpiffeId("mesh", "/ns"), False),
        ("spiffe://mesh/ns/shop", ME, True),
        ("spiffe://mesh/ns/shop", SpiffeId("mesh", "/ns/shop/x"), False),
        ("spiffe://mesh/ns/shop", SpiffeId("mesh", "/ns/Shop"), False),
        ("spiffe://mesh/ns/shop", NOBODY, False),
    ],
)
def test_patterns(pattern: str, who: SpiffeId | None, expected: bool) -> None:
    assert Pattern(pattern).holds(who) is expected


@pytest.mark.parametrize(
    "text",
    ["", "mesh", "spiffe://mesh", "spiffe://mesh/a*", "spiffe://*/a", "spiffe://mesh/*/a", "**"],
)
def test_patterns_that_could_mislead_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Pattern(text)


@given(DOMAINS, st.lists(SEGMENTS, min_size=1, max_size=4), st.lists(SEGMENTS, max_size=4))
def test_a_pattern_for_a_path_holds_below_it_alone(
    domain: str, above: list[str], below: list[str]
) -> None:
    start = "".join(f"/{segment}" for segment in above)
    rest = "".join(f"/{segment}" for segment in below)
    pattern = Pattern(f"spiffe://{domain}{start}/*")
    assert pattern.holds(SpiffeId(domain, start + rest)) is bool(below)
