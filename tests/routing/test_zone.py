"""The tree finds what a plain search through all routes would find."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model import Route, When
from proxy.routing.pattern import is_capture, parse
from proxy.routing.table import Table
from tests.routing.fields import Fields


def path_of(segments: list[str], end: str) -> str:
    """Captures are named by their place, so that none comes twice."""
    named = [f"{{x{i}}}" if s == "{}" else s for i, s in enumerate(segments)]
    return "/".join(["", *named]) + end or "/"


SEGMENTS = st.lists(st.sampled_from(["a", "{}", "b"]), max_size=3)
PATHS = st.builds(path_of, SEGMENTS, st.sampled_from(["/*", ""]))
WHENS = st.builds(
    When,
    method=st.sampled_from([[], [], ["GET"], ["PUT"]]),
    header=st.sampled_from([{}, {}, {"x": "1"}, {"x": "*"}]),
)
HOSTS = st.sampled_from([[], [], ["h.e.x"], ["*.e.x"], ["*.x"], ["*.x", "h.e.x"]])
REGEXES = st.sampled_from(["~/a.*", "~.*b"])
ROUTES = st.lists(st.builds(Route, path=PATHS | REGEXES, host=HOSTS, when=WHENS), max_size=10)
BARE = st.lists(st.builds(Route, path=PATHS), max_size=12)
ASKED = st.builds(
    path_of, st.lists(st.sampled_from(["a", "b", "c"]), max_size=3), st.sampled_from(["", "/"])
)


def specificity(route: Route, index: int, host: str, path: str) -> tuple[object, ...] | None:
    """A sort key by the rules as they are documented; None if host or path does not fit."""
    hosts = [h for h in route.host if h == host or (h[0] == "*" and host.endswith(h[1:]))]
    if route.host and not hosts:
        return None
    best = min((h[0] == "*", -len(h)) for h in hosts) if hosts else (2, 0)
    pattern = parse(route.path)
    segments = path.split("/")[1:]
    wanted = list(pattern.segments)
    captured = [is_capture(s) for s in wanted]
    if pattern.kind == "regex":
        assert pattern.regex is not None
        fits, rank = pattern.regex.fullmatch(path) is not None, (3,)
    else:
        part = segments[: len(wanted)] if pattern.kind == "prefix" else segments
        fits = len(part) == len(wanted) and all(
            s != "" if is_capture(w) else s == w for s, w in zip(part, wanted, strict=True)
        )
        rank = (("exact", "template", "prefix").index(pattern.kind),)
    conditions = bool(route.when.method) + len(route.when.header)
    depth = -len(wanted) if pattern.kind == "prefix" else 0
    return (best, rank, depth, captured, -conditions, index) if fits else None


def expected_order(routes: list[Route], host: str, path: str) -> list[int]:
    keys = {i: key for i, r in enumerate(routes) if (key := specificity(r, i, host, path))}
    return sorted(keys, key=lambda i: keys[i])


@settings(max_examples=300)
@given(BARE, ASKED)
def test_the_tree_agrees_with_a_plain_search(routes: list[Route], path: str) -> None:
    found = Table.compile(routes).match("h", "GET", path, "", Fields())
    order = expected_order(routes, "h", path)
    assert (None if found is None else found[0]) == (order[0] if order else None)


@settings(max_examples=300)
@given(ROUTES, ASKED, st.sampled_from(["h.e.x", "i.e.x", "e.x", "x"]), st.booleans())
def test_so_it_does_with_hosts_and_conditions(
    routes: list[Route], path: str, host: str, beta: bool
) -> None:
    fields = Fields(x="1") if beta else Fields()

    def accepts(route: Route) -> bool:
        return (not route.when.method or "GET" in route.when.method) and (
            not route.when.header or beta
        )

    order = expected_order(routes, host, path)
    expected = next((i for i in order if accepts(routes[i])), None)
    table = Table.compile(routes)
    found = table.match(host, "GET", path, "", fields)
    assert (None if found is None else found[0]) == expected
    lines = table.explain((host, "GET", path, "", fields))
    told = [int(n) for line in lines for n in re.findall(r"^route\[(\d+)\].*", line)]
    assert (told if order else []) == order
    assert expected not in {index for index, _, _ in table.shadowed()}


@given(ROUTES, ASKED)
def test_captures_put_back_yield_the_path(routes: list[Route], path: str) -> None:
    found = Table.compile(routes).match("h.e.x", "GET", path, "", Fields())
    if found is None or routes[found[0]].path.startswith("~"):
        return
    made = routes[found[0]].path.replace("/*", "{*}")
    for name, value in found[1].items():
        made = made.replace("{" + name + "}", value)
    assert made == path
