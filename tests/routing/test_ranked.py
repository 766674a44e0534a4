"""Routes with an `order` are asked as a list is read from the top."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model import Route, When
from proxy.routing.pattern import parse
from proxy.routing.table import Table
from tests.routing.fields import Fields
from tests.routing.test_zone import ASKED, PATHS, REGEXES, WHENS

STARTS = st.sampled_from(["^/", "^/a", "^/a/", "^/a/b", "^/b/a"])
LISTS = st.lists(st.builds(Route, path=PATHS | REGEXES | STARTS, when=WHENS), max_size=10)


def first(routes: list[Route], method: str, path: str, head: Fields) -> int | None:
    """One after the other, each by a table of its own."""
    for index, route in enumerate(routes):
        if Table.compile([route]).match("h", method, path, "", head) is not None:
            return index
    return None


def ordered(routes: list[Route], offset: int = 0) -> list[Route]:
    return [
        Route(path=route.path, when=route.when, order=place + offset)
        for place, route in enumerate(routes, 1)
    ]


@settings(max_examples=300)
@given(LISTS, ASKED, st.sampled_from(["GET", "PUT"]), st.sampled_from([{}, {"x": "1"}]))
def test_the_first_of_the_list_that_fits_takes_the_request(
    routes: list[Route], path: str, method: str, fields: dict[str, str]
) -> None:
    head = Fields(**fields)
    table = Table.compile(ordered(routes))
    found = table.match("h", method, path, "", head)
    wanted = first(routes, method, path, head)
    assert (None if found is None else found[0]) == wanted
    told = [line for line in table.explain(("h", method, path, "", head)) if "matches" in line]
    assert [wanted is not None] == [bool(told)]
    if wanted is not None:
        assert told[0].startswith(f"route[{wanted}] ")


@given(LISTS, st.randoms(use_true_random=False), ASKED)
def test_numbers_count_and_not_places(routes: list[Route], chance: object, path: str) -> None:
    numbered = ordered(routes, offset=7)
    mixed = numbered.copy()
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    head = Fields()
    found = Table.compile(mixed).match("h", "GET", path, "", head)
    wanted = first(routes, "GET", path, head)
    assert (None if found is None else mixed[found[0]]) == (
        None if wanted is None else numbered[wanted]
    )


def test_routes_without_a_number_come_first() -> None:
    table = Table.compile([Route(path="/a/b", order=1), Route(path="/a/*")])
    assert table.match("h", "GET", "/a/b", "", Fields()) == (1, {"*": "/b"})
    assert table.match("h", "GET", "/a/c", "", Fields()) == (1, {"*": "/c"})


@pytest.mark.parametrize(
    ("path", "fits", "misses"),
    [
        ("^/api", ["/api", "/apix", "/api/x"], ["/ap", "/", "/x/api"]),
        ("^/api/", ["/api/", "/api/x"], ["/api", "/apix"]),
        ("^/a%2fb", ["/a%2Fb", "/a%2Fbc"], ["/a/b"]),
    ],
)
def test_a_beginning_is_text_and_no_segments(path: str, fits: list[str], misses: list[str]) -> None:
    for order in (None, 3):
        table = Table.compile([Route(path=path, order=order)])
        start = parse(path).start
        for asked in fits:
            assert table.match("", "GET", asked, "", Fields()) == (0, {"*": asked[len(start) :]})
        for asked in misses:
            assert table.match("", "GET", asked, "", Fields()) is None


@pytest.mark.parametrize("path", ["^", "^api", "^/a//b", "^/../a", "^/a{x}", "^/a*"])
def test_a_beginning_that_nothing_has_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"must go on|text|never match"):
        parse(path)


def test_what_can_never_match_is_told_by_the_order() -> None:
    routes = [
        Route(name="all", path="/*", order=1),
        Route(name="again", path="/*", when=When(method=["GET"]), order=2),
        Route(name="plain", path="/*"),
    ]
    told = Table.compile(routes).shadowed()
    assert [(index, taker) for index, taker, _ in told] == [(1, 0)]
    assert "`order` comes first" in told[0][2]
