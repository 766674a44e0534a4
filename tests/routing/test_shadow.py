"""Routes that can never match are found, and no others."""

from __future__ import annotations

import pytest

from proxy.config.model import Route, When
from proxy.routing.shadow import literal_prefix
from proxy.routing.table import Table

GET = When(method=["GET"])
BETA = When(header={"x-beta": "1"})

SHADOWED = [
    ([Route(path="/a"), Route(path="/a")], [(1, 0)]),
    ([Route(path="/a/{x}"), Route(path="/a/{y}")], [(1, 0)]),
    ([Route(path="/a", when=GET), Route(path="/a", when=GET)], [(1, 0)]),
    ([Route(path="/a", when=When(method=["GET", "PUT"])), Route(path="/a", when=GET)], [(1, 0)]),
    (
        [
            Route(path="/a", when=When(header={"x": "*"})),
            Route(path="/a", when=When(header={"x": "1"})),
        ],
        [(1, 0)],
    ),
    ([Route(path="/a", host=["h"]), Route(path="/a", host=["H"])], [(1, 0)]),
    ([Route(path="/a", host=["h", "i"]), Route(path="/a", host=["i"])], [(1, 0)]),
    (
        [
            Route(path="/a", host=["h"]),
            Route(path="/a", host=["i"]),
            Route(path="/a", host=["h", "i"]),
        ],
        [(2, 0)],
    ),
    ([Route(path="~^/api/v[0-9]+$"), Route(path="/api/*")], [(0, 1)]),
    ([Route(path="~.*[.]php"), Route(path="/*")], [(0, 1)]),
    ([Route(path="/a"), Route(path="/a"), Route(path="/a")], [(1, 0), (2, 0)]),
]

ALIVE = [
    [Route(path="/a"), Route(path="/b")],
    [Route(path="/a"), Route(path="/a/")],
    [Route(path="/a"), Route(path="/a", when=GET)],
    [Route(path="/a", when=GET), Route(path="/a", when=BETA)],
    [Route(path="/a", when=GET), Route(path="/a")],
    [Route(path="/a", host=["h"]), Route(path="/a")],
    [Route(path="/a", host=["*.x"]), Route(path="/a", host=["h.x"])],
    [Route(path="/a", host=["h"]), Route(path="/a", host=["h", "i"])],
    [Route(path="/*"), Route(path="/a/*"), Route(path="/a/{x}"), Route(path="/a/b")],
    [Route(path="~^/api.*$"), Route(path="/api/*")],
    [Route(path="~^/api/v?$"), Route(path="/api/v/*")],
    [Route(path="~^/api/v[0-9]+$"), Route(path="/api/*", when=GET)],
    [Route(path="~^/api/a|/b$"), Route(path="/api/*")],
    [Route(path="~^/api/x$"), Route(path="/{a}/*", host=["h"])],
]


@pytest.mark.parametrize(("routes", "expected"), SHADOWED)
def test_a_dead_route_is_found(routes: list[Route], expected: list[tuple[int, int]]) -> None:
    found = Table.compile(routes).shadowed()
    assert [(dead, taker) for dead, taker, _ in found] == expected
    assert all(f"route[{taker}]" in reason for _, taker, reason in found)


@pytest.mark.parametrize("routes", ALIVE)
def test_a_living_route_is_left_alone(routes: list[Route]) -> None:
    assert Table.compile(routes).shadowed() == []


@pytest.mark.parametrize(
    ("regex", "prefix"),
    [
        ("^/api/v[0-9]", "/api/v"),
        ("/api/", "/api/"),
        ("/api/v*", "/api/"),
        ("/api/v+", "/api/v"),
        ("/ab{2}", "/a"),
        ("/a|/b", ""),
        ("(?i)/api", ""),
        ("/a[.]b", "/a"),
    ],
)
def test_the_text_with_which_a_regular_expression_begins(regex: str, prefix: str) -> None:
    assert literal_prefix(regex) == prefix
