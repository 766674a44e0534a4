"""Rewritten paths stay normal, and a Location can only lead where the file says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.load import loads
from proxy.config.model import Redirect, Rewrite, Route
from proxy.errors import BadRequest
from proxy.http.path import normalise
from proxy.routing.rewrite import compile_redirect, compile_rewrite
from proxy.routing.table import Table
from tests.routing.fields import Fields


def rewritten(pattern: str, rewrite: Rewrite, path: str) -> str:
    route = Route(path=pattern, rewrite=rewrite)
    found = Table.compile([route]).match("h", "GET", path, "", Fields())
    assert found is not None, "the case itself is wrong: its path does not match"
    make = compile_rewrite(route)
    assert make is not None
    return make(path, found[1])


REWRITES = [
    ("/old/*", Rewrite(strip="/old"), "/old/x/y", "/x/y"),
    ("/old/*", Rewrite(strip="/old/"), "/old/x", "/x"),
    ("/old/*", Rewrite(strip="/old"), "/old", "/"),
    ("/old/*", Rewrite(strip="/old"), "/old/", "/"),
    ("/*", Rewrite(strip="/old"), "/older/x", "/older/x"),  # whole segments
    ("/*", Rewrite(strip="/old"), "/new", "/new"),
    ("/*", Rewrite(strip="/"), "/new", "/new"),
    ("/api/*", Rewrite(prefix="/v2"), "/api/x", "/v2/x"),
    ("/api/*", Rewrite(prefix="/v2"), "/api", "/v2"),
    ("/api/*", Rewrite(prefix="/v2/"), "/api/", "/v2/"),
    ("/api/*", Rewrite(prefix="/"), "/api/x/", "/x/"),
    ("/api/*", Rewrite(prefix=""), "/api", "/"),
    ("/*", Rewrite(prefix="/v2"), "/x", "/v2/x"),
    ("/{tenant}/api/*", Rewrite(prefix="/t/{tenant}"), "/acme/api/x", "/t/acme/x"),
    ("/api/{id}", Rewrite(path="/v2/{id}"), "/api/a%2Fb", "/v2/a%2Fb"),
    ("/{a}/{b}", Rewrite(path="/{b}/{a}/{b}.json"), "/x/y", "/y/x/y.json"),
    ("/a/*", Rewrite(path="/b/*"), "/a/c/d", "/b/c/d"),
    ("/a/*", Rewrite(path="/b{*}"), "/a", "/b"),
    ("/a/*", Rewrite(path="/b/{*}/"), "/a/c", "/b/c/"),
    ("/a", Rewrite(path="/caf\u00e9 x"), "/a", "/caf%C3%A9%20x"),
    ("~/u(?P<n>[0-9]+)", Rewrite(path="/users/{n}"), "/u7", "/users/7"),
]


@pytest.mark.parametrize(("pattern", "rewrite", "path", "expected"), REWRITES)
def test_rewrites(pattern: str, rewrite: Rewrite, path: str, expected: str) -> None:
    assert rewritten(pattern, rewrite, path) == expected


def test_no_rewrite_is_none() -> None:
    assert compile_rewrite(Route(path="/a")) is None


@pytest.mark.parametrize(
    ("pattern", "to", "path"),
    [
        ("~/a(?P<rest>.*)", "/{rest}", "/a../b"),
        ("~/a(?P<rest>.*)", "/x/{rest}", "/a./b"),
        ("~/(?P<a>.)(?P<b>.*)", "/{b}", "/x..;/b"),
        ("~/(?P<a>.)(?P<b>.*)", "/%2{b}", "/xe/b"),
        ("~/a(?P<dots>\\.*)b", "/x/{dots}/y", "/a..b"),
    ],
)
def test_a_rewrite_that_makes_a_dot_segment_is_refused(pattern: str, to: str, path: str) -> None:
    assert normalise(path) == path
    try:
        with pytest.raises(BadRequest):
            rewritten(pattern, Rewrite(path=to), path)
    except ValueError as refused_at_start:
        assert "%2" in to, refused_at_start


@pytest.mark.parametrize(
    ("pattern", "rewrite", "says"),
    [
        ("/a/*", Rewrite(), "one of strip, prefix and path"),
        ("/a/*", Rewrite(strip="/a", prefix="/b"), "one of strip, prefix and path"),
        ("/a/*", Rewrite(strip="/{x}"), "without captures"),
        ("/a/*", Rewrite(strip="a"), 'must begin with "/"'),
        ("/a/{id}", Rewrite(prefix="/b"), r"path that ends in /\*"),
        ("/a/*", Rewrite(prefix="b"), 'does not begin with "/"'),
        ("/a/{id}", Rewrite(path="/b/{ip}"), r"does not capture; known here: \{id\}"),
        ("/a/{id}", Rewrite(path="/b/*"), "does not capture"),
        ("/a/{id}", Rewrite(path="/b/{id"), "does not capture"),
        ("/a", Rewrite(path="b"), 'does not begin with "/"'),
        ("/a", Rewrite(path="/b/../c"), "dot segment"),
        ("/a", Rewrite(path="/b?c=1"), "not allowed"),
        ("/a", Rewrite(path="/%zz"), "bad percent-encoding"),
    ],
)
def test_a_rewrite_that_cannot_work_says_why(pattern: str, rewrite: Rewrite, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compile_rewrite(Route(path=pattern, rewrite=rewrite))


REDIRECTS = [
    # the query is kept, the empty one too, unless `to` has its own
    ("https://example.com/new", "/old", "?a=1", {}, "https://example.com/new?a=1"),
    ("https://example.com/new", "/old", "?", {}, "https://example.com/new?"),
    ("https://example.com/new", "/old", "", {}, "https://example.com/new"),
    ("https://example.com", "/old", "?a=1", {}, "https://example.com?a=1"),
    ("/new#top", "/old", "?a=1", {}, "/new?a=1#top"),
    ("/new?b=2", "/old", "?a=1", {}, "/new?b=2"),
    ("/new?b=2&{query}", "/old", "?a=1", {}, "/new?b=2&a=1"),
    ("/new?", "/old", "?a=1", {}, "/new"),
    ("/new?#top", "/old", "?a=1", {}, "/new#top"),
    ("{path}{?query}", "/old", "?a=1", {}, "/old?a=1"),
    ("{path}{?query}", "/old", "", {}, "/old"),
    ("{path}{?query}", "/old", "?", {}, "/old?"),
    ("{path}{?query}#top", "/old", "?a=1", {}, "/old?a=1#top"),
    ("{path}{?query}#{id}", "/old", "?a=1", {"id": "7"}, "/old?a=1#7"),
    ("{path}?{query}", "/old", "?", {}, "/old?"),
    ("{path}?{query}#top", "/old", "", {}, "/old#top"),
    ("{path}{query}", "/old", "?a=1", {}, "/olda=1"),
    ("/x/{query}", "/old", "?a=1", {"query": "mine"}, "/x/mine?a=1"),
    ("/x?{query}", "/old", "?a=1", {"query": "mine"}, "/x?mine"),
    ("/new", "/old", "", {}, "/new"),
    ("{path}/", "/old", "", {}, "/old/"),
    ("https://e.com{path}?{query}", "/a/b", "?x=1&y=%20", {}, "https://e.com/a/b?x=1&y=%20"),
    ("https://e.com{path}?{query}", "/a/b", "", {}, "https://e.com/a/b"),
    ("https://e.com{path}", "/a/b", "?x=1", {}, "https://e.com/a/b?x=1"),
    ("https://e.com/x?{query}#top", "/a", "?b", {}, "https://e.com/x?b#top"),
    ("https://e.com?{query}", "/a", "?b", {}, "https://e.com?b"),
    ("/v2/{id}", "/a/7", "", {"id": "7"}, "/v2/7"),
    ("/v2/{id}", "/a/x%2Fy", "", {"id": "x%2Fy"}, "/v2/x%2Fy"),
    ("/find?q={id}", "/a/x&y=+z", "", {"id": "x&y=+z"}, "/find?q=x%26y%3D%2Bz"),
    ("/find?q={id}", "/a/x%26", "", {"id": "x%26"}, "/find?q=x%26"),
    ("/login?next={path}", "/a%26b/c&d", "", {}, "/login?next=/a%2526b/c%26d"),
    ("https://{t}.e.com/", "/acme", "", {"t": "acme"}, "https://acme.e.com/"),
    ("https://e.com/*", "/old/x", "", {"*": "/x"}, "https://e.com/x"),
    ("https://e.com/*", "/old", "", {"*": ""}, "https://e.com"),
    ("/new/{*}", "/old/x", "", {"*": "/x"}, "/new/x"),
    ("{*}", "/old//", "", {"*": ""}, "/"),
    ("/{*}", "/old/evil.com", "", {"*": "/evil.com"}, "/evil.com"),  # never "//evil.com"
    ("/files/{path}", "/p", "", {"path": "mine"}, "/files/mine"),  # the capture wins
    ("/caf\u00e9 {id}", "/a", "", {"id": "1"}, "/caf%C3%A9%201"),
]


@pytest.mark.parametrize(("to", "path", "tail", "captures", "expected"), REDIRECTS)
def test_redirects(to: str, path: str, tail: str, captures: dict[str, str], expected: str) -> None:
    make = compile_redirect(Redirect(to=to), tuple(captures))
    assert make(path, tail, captures) == expected
    assert (
        compile_redirect(Redirect(to=to))(path, tail, captures) == expected or "query" in captures
    )


@pytest.mark.parametrize(
    ("to", "captures", "expected"),
    [
        ("https://{host}{path}", {}, "https://shop.example/a?b"),
        ("https://{host}:8443{path}", {}, "https://shop.example:8443/a?b"),
        ("https://{host}/new{*}", {"*": "/x"}, "https://shop.example/new/x?b"),
        ("https://{host}", {}, "https://shop.example?b"),
        ("https://{host}.cdn.example/", {"host": "me"}, "https://me.cdn.example/?b"),
    ],
)
def test_a_redirect_may_keep_the_host(to: str, captures: dict[str, str], expected: str) -> None:
    make = compile_redirect(Redirect(to=to), tuple(captures))
    assert make("/a", "?b", captures, "shop.example") == expected


def test_where_no_host_was_named_there_is_none_to_keep() -> None:
    with pytest.raises(BadRequest):
        compile_redirect(Redirect(to="https://{host}{path}"), ())("/a", "", {}, "")


@pytest.mark.parametrize("value", ["evil.com", "evil.com%2F", "a@b", "a:1", "", "evil.com%23"])
def test_a_capture_cannot_name_another_host(value: str) -> None:
    make = compile_redirect(Redirect(to="https://{t}.example.com/"), ("t",))
    with pytest.raises(BadRequest):
        make("/x", "", {"t": value})


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("//evil.com/", "must begin"),
        ("new", "must begin"),
        ("{id}/x", "must begin"),
        ("javascript:alert(1)", "must begin"),
        ("ftp://e.com/", "must begin"),
        ("", "must begin"),
        ("/new/{ip}", r"known here: \{id\}, \{path\}, \{query\}"),
        ("/new/{id", "does not capture"),
        ("/new/*", "does not capture"),
        ("https://e.com/a/../b", "dot segment"),
        ("https://e.com/%zz", "bad percent-encoding"),
        ("https://e.com{path}\\", "backslash"),
        ("https://e.com{id}/", 'label before a "."'),
        ("https://{id}/", 'label before a "."'),
        ("https://{query}/", 'label before a "."'),
        ("https://x.{host}/", "names what the path does not capture"),
        ("https://{host}.{id}.com/", "names what the path does not capture"),
        ("/x/{host}", "names what the path does not capture"),
        ("{?query}{path}", r"\{\?query\} stands at the end"),
        ("/a?b&{?query}", r"\{\?query\} stands at the end"),
        ("/a{?query}{?query}", r"\{\?query\} stands at the end"),
        ("/a#b{?query}", r"\{\?query\} stands at the end"),
    ],
)
def test_a_redirect_that_cannot_work_says_why(to: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compile_redirect(Redirect(to=to), ("id",))


@pytest.mark.parametrize(
    ("path", "to", "warned"),
    [
        ("/*", "https://e.com{path}{query}", True),
        ("/*", "/x/{query}", True),
        ("/*", "https://e.com{path}?{query}", False),
        ("/*", "https://e.com{path}{?query}", False),
        ("/*", "{path}/", False),
        ("/*", "/x?a={query}", False),
        ("/{query}", "/x/{query}", False),
    ],
)
def test_a_query_that_is_glued_to_the_path_is_told(path: str, to: str, warned: bool) -> None:
    file = f'[[route]]\npath = "{path}"\nredirect = {{ to = "{to}" }}'
    warnings = [str(w) for w in loads(file, "test.toml", {}).warnings]
    assert [w for w in warnings if 'write "{?query}"' in w] == warnings
    assert bool(warnings) is warned


ANY = st.text(max_size=8) | st.sampled_from(["\r\nset-cookie: a=1", "//evil.com", "/..", "%0d%0a"])


@given(
    st.sampled_from(
        ["https://e.com/{x}{*}?{query}#{x}", "{path}?a={x}&{query}", "/{*}?{x}", "/{x}"]
    ),
    ANY.filter(lambda s: s.isprintable() or "\r" in s),
    ANY,
    ANY,
)
def test_a_location_stays_on_its_host_and_in_its_line(
    to: str, x: str, rest: str, query: str
) -> None:
    """Even for captures and queries that no parser would let through."""
    try:
        location = compile_redirect(Redirect(to=to))("/p", "?" + query, {"x": x, "*": rest})
    except (BadRequest, UnicodeEncodeError):
        return
    assert location.isascii()
    assert location.isprintable() and " " not in location
    assert location.startswith("https://e.com/" if to.startswith("h") else "/")
    assert not location.startswith("//")
