"""The most specific route takes a request; the table can say why."""

from __future__ import annotations

import pytest

from proxy.config.model import Route, When
from proxy.routing.table import Table
from tests.routing.fields import Fields


def winner(routes: list[Route], url: str, method: str = "GET", **fields: str) -> str | None:
    """The name (or path) of the route for "host/path?query"."""
    host, slash, rest = url.partition("/")
    path, _, query = (slash + rest).partition("?")
    found = Table.compile(routes).match(host, method, path, query, Fields(**fields))
    return None if found is None else routes[found[0]].name or routes[found[0]].path


PATHS = [
    Route(path="~^/v[0-9]+/.*$"),
    Route(path="/api/*"),
    Route(path="/api/orders/*"),
    Route(path="/api/{kind}"),
    Route(path="/api/{kind}/{id}"),
    Route(path="/api/orders/{id}"),
    Route(path="/api/orders/new"),
    Route(path="/exact"),
    Route(path="/slash/"),
    Route(path="/{tenant}/files/*"),
]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api", "/api/*"),
        ("/api/", "/api/*"),
        ("/apix", None),
        ("/api/orders", "/api/{kind}"),
        ("/api/orders/new", "/api/orders/new"),
        ("/api/orders/42", "/api/orders/{id}"),
        ("/api/users/42", "/api/{kind}/{id}"),
        ("/api/users/", "/api/*"),  # a capture is never empty
        ("/api/orders/", "/api/orders/*"),
        ("/api/orders/42/items", "/api/orders/*"),
        ("/api/users/42/items", "/api/*"),
        ("/exact", "/exact"),
        ("/exact/", None),
        ("/slash/", "/slash/"),
        ("/slash", None),
        ("/v1/", "~^/v[0-9]+/.*$"),
        ("/v1", None),
        ("/x/v1/", None),
        ("/acme/files/a/b", "/{tenant}/files/*"),
        ("/api/files", "/api/{kind}"),  # a template before any prefix
        ("/api/files/a/b", "/{tenant}/files/*"),  # the longest prefix, though it begins wider
        ("/", None),
        ("*", None),
    ],
)
def test_the_most_specific_path_wins(path: str, expected: str | None) -> None:
    host = "gate.example"
    found = Table.compile(PATHS).match(host, "GET", path, "", Fields())
    assert (None if found is None else PATHS[found[0]].path) == expected
    reverse = PATHS[::-1]
    found = Table.compile(reverse).match(host, "GET", path, "", Fields())
    assert (None if found is None else reverse[found[0]].path) == expected


HOSTS = [
    Route(name="any", path="/*"),
    Route(name="example", host=["*.example.com"], path="/*"),
    Route(name="shops", host=["*.shop.example.com"], path="/*"),
    Route(name="one", host=["a.shop.example.com", "Other.Example"], path="/only"),
]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("a.shop.example.com/only", "one"),
        ("other.example/only", "one"),
        ("a.shop.example.com/x", "shops"),  # the exact host has no such path
        ("b.c.shop.example.com/x", "shops"),
        ("shop.example.com/x", "example"),
        ("example.com/x", "any"),  # a wildcard is at least one label
        ("xexample.com/x", "any"),
        (".example.com/x", "any"),
        ("/x", "any"),
    ],
)
def test_the_most_specific_host_wins(url: str, expected: str) -> None:
    assert winner(HOSTS, url) == expected
    assert winner(HOSTS[::-1], url) == expected


@pytest.mark.parametrize(
    ("path", "captures"),
    [
        ("/api/a%2Fb/7", {"kind": "a%2Fb", "id": "7"}),
        ("/api/orders/42", {"id": "42"}),
        ("/api/orders/new", {}),
        ("/api", {"*": ""}),
        ("/api/", {"*": "/"}),
        ("/api/a/b/c/", {"*": "/a/b/c/"}),
        ("/acme/files", {"tenant": "acme", "*": ""}),
        ("/acme/files/", {"tenant": "acme", "*": "/"}),
        ("/acme/files/a/b", {"tenant": "acme", "*": "/a/b"}),
        ("/v1/x", {}),
    ],
)
def test_captures(path: str, captures: dict[str, str]) -> None:
    found = Table.compile(PATHS).match("h", "GET", path, "", Fields())
    assert found is not None
    assert found[1] == captures


@pytest.mark.parametrize(
    ("paths", "asked", "expected"),
    [
        (["/a/*", "/a/{x}"], "/a/b", "/a/{x}"),  # no choice of segments on the way
        (["/*", "/a/*", "/a/{x}/c"], "/a/b", "/a/*"),
        (["/{x}/*", "/a/b/*"], "/a/b/c", "/a/b/*"),
        (["/{x}/b/*", "/a/*"], "/a/b/c", "/{x}/b/*"),
        (["/a/{x}/*", "/{x}/b/*"], "/a/b/c", "/a/{x}/*"),
        (["/a/{x}/c", "/{x}/b/c"], "/a/b/c", "/a/{x}/c"),
        (["/a/b/{x}/d", "/a/{x}/c/e", "/{x}/b/c/e"], "/a/b/c/e", "/a/{x}/c/e"),
        (["/a/{x}/", "/a/*"], "/a//", "/a/*"),
    ],
)
def test_ways_through_the_tree(paths: list[str], asked: str, expected: str) -> None:
    for ordered in (paths, paths[::-1]):
        assert winner([Route(path=p) for p in ordered], "h" + asked) == expected


def test_groups_of_a_regular_expression_are_captures() -> None:
    table = Table.compile([Route(path="~/v(?P<n>[0-9]+)(?P<rest>/.*)?")])
    assert table.match("h", "GET", "/v2/x", "", Fields()) == (0, {"n": "2", "rest": "/x"})
    assert table.match("h", "GET", "/v2", "", Fields()) == (0, {"n": "2", "rest": ""})


def test_more_conditions_win_then_the_order_of_the_file() -> None:
    routes = [
        Route(name="plain", path="/a/{id}"),
        Route(name="beta", path="/a/{x}", when=When(header={"x-beta": "1"})),
        Route(name="second", path="/a/{id}", when=When(header={"x-beta": "*"})),
        Route(name="both", path="/a/{y}", when=When(method=["GET"], header={"x-beta": "1"})),
    ]
    assert winner(routes, "h/a/1", x_beta="1") == "both"
    assert winner(routes, "h/a/1", "POST", x_beta="1") == "beta"
    assert winner(routes, "h/a/1", "POST", x_beta="2") == "second"
    assert winner(routes, "h/a/1") == "plain"


def test_a_refused_request_falls_back_to_less_specific_routes() -> None:
    get = When(method=["GET"])
    routes = [
        Route(name="rest", path="/*"),
        Route(name="regex", path="~/a/.*", when=get),
        Route(name="prefix", path="/a/b/*", when=When(method=["PUT"])),
        Route(name="wide", path="/{x}/b", when=When(method=["POST"])),
        Route(name="template", path="/a/{x}", when=When(method=["PATCH"])),
        Route(name="exact", path="/a/b", when=When(method=["DELETE"])),
        Route(name="host", path="/a/b", host=["h"], when=When(query={"v": "1"})),
    ]
    methods = ["DELETE", "PATCH", "POST", "PUT", "GET", "HEAD"]
    taken = [winner(routes, "h/a/b", method) for method in methods]
    assert taken == ["exact", "template", "wide", "prefix", "rest", "rest"]
    assert winner(routes, "h/a/b?v=1") == "host"


def test_fields_are_read_only_for_candidates_that_ask() -> None:
    routes = [Route(path="/a", when=When(header={"x": "1"})), Route(path="/b")]
    table, fields = Table.compile(routes), Fields()
    assert table.match("h", "GET", "/b", "", fields) == (1, {})
    assert fields.asked == 0
    assert table.match("h", "GET", "/a", "", fields) is None
    assert fields.asked == 1


def test_an_empty_table_matches_nothing() -> None:
    table = Table.compile([])
    assert table.match("h", "GET", "/", "", Fields()) is None
    assert table.shadowed() == []


def test_a_route_that_is_wrong_does_not_compile() -> None:
    for wrong in (Route(path="/a*"), Route(host=["a:1"]), Route(when=When(query={"q": "~("}))):
        with pytest.raises(ValueError):
            Table.compile([wrong])


def test_explain_tells_each_candidate_in_order() -> None:
    routes = [
        Route(name="all", path="/*"),
        Route(name="orders", host=["*.example.com"], path="/orders/{id}"),
        Route(
            name="beta",
            host=["*.example.com"],
            path="/orders/{id}",
            when=When(header={"x-beta": "1"}),
        ),
        Route(name="users", path="/users"),
    ]
    table = Table.compile(routes)
    assert table.explain(("a.example.com", "GET", "/orders/1", "", Fields())) == [
        "route[2] beta (*.example.com /orders/{id}): header x-beta is missing, wanted 1",
        "route[1] orders (*.example.com /orders/{id}): matches",
        "route[0] all (/*): fits too, but is less specific or later",
    ]


def test_explain_points_at_a_slash() -> None:
    table = Table.compile([Route(path="/users"), Route(path="/shops/", host=["h"])])
    assert table.explain(("h", "GET", "/users/", "", Fields())) == [
        "no route has host h and path /users/",
        "route[0] (/users): would take /users, without a slash at the end",
    ]
    assert table.explain(("h", "GET", "/shops", "", Fields()))[1:] == [
        "route[1] (h /shops/): would take /shops/, with a slash at the end",
    ]
    assert table.explain(("h", "GET", "/", "", Fields())) == ["no route has host h and path /"]
