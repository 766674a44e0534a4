"""Routes that keep requests away, and which names of their paths go past them."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from proxy.config.load import loads
from proxy.config.model import AuthUse, Defaults, Route
from proxy.config.report import Report
from proxy.config.shorthand import lengthen
from proxy.routing import bypass
from proxy.routing.table import Table

DENY = "respond = { status = 403 }"
PASS = 'to = "http://127.0.0.1:1"'


def found(*routes: str) -> list[bypass.Bypass]:
    text = "".join(f"[[route]]\n{route}\n" for route in routes)
    config = loads(text, "test.toml", {}).config
    return bypass.find(Table.compile(config.route), config.route, config.defaults)


def paths(key: str, *routes: str) -> list[str]:
    """Those of one kind."""
    return [one.paths[key] for one in found(*routes) if key in one.paths]


@pytest.mark.parametrize(
    ("routes", "past"),
    [
        ([f'path = "/admin/*"\n{DENY}', PASS], ["/admin;x/y"]),
        ([f'path = "/admin"\n{DENY}', PASS], ["/admin;x"]),
        ([f'path = "/{{t}}/admin"\n{DENY}', PASS], ["/x/admin;x"]),
        ([PASS, f'path = "/admin/*"\n{DENY}'], ["/admin;x/y"]),
        ([f'host = "*.example"\npath = "/admin/*"\n{DENY}', PASS], ["/admin;x/y"]),
        (['path = "/admin/*"\nrespond = { status = 404 }', PASS], ["/admin;x/y"]),
        ([f'path = "/a/*"\n{DENY}', f'path = "/{{n}}/*"\n{PASS}'], ["/a;x/y"]),
        # nobody takes it, somebody else denies it, or the route that takes it has a say
        ([f'path = "/admin/*"\n{DENY}', f'path = "/shop/*"\n{PASS}'], []),
        ([f'path = "/admin/*"\n{DENY}', f'host = "h"\n{PASS}'], []),
        ([f'path = "/admin/*"\n{DENY}', f'{PASS}\npath_parameters = "reject"'], []),
        ([f'path = "/admin/*"\n{DENY}', f'{PASS}\npath_parameters = "keep"'], []),
        # these deny nothing, or everything
        ([DENY], []),
        (['path = "/pong"\nrespond = { body = "pong" }', PASS], []),
        (['path = "/old/*"\nredirect = { to = "/new" }', PASS], []),
    ],
)
def test_what_goes_past_a_route_that_denies(routes: list[str], past: list[str]) -> None:
    assert paths("path_parameters", *routes) == past


@pytest.mark.parametrize(
    ("path", "slash", "case", "end"),
    [
        ("/admin/*", ["/admin%2Fy"], ["/ADMIN/y"], []),
        ("/admin", ["/%2Fadmin"], ["/ADMIN"], ["/admin/"]),
        ("/admin/", ["/admin%2F"], ["/ADMIN/"], ["/admin"]),
        ("/a/b", ["/a%2Fb"], ["/A/b"], ["/a/b/"]),
        ("/7/*", ["/7%2Fy"], [], []),
        ("/{team}/Admin", ["/x%2FAdmin"], ["/x/aDMIN"], ["/x/Admin/"]),
        ("/*", [], [], []),
        ("~^/admin.*", [], [], []),
    ],
)
def test_other_names_of_a_path(
    path: str, slash: list[str], case: list[str], end: list[str]
) -> None:
    routes = (f'path = "{path}"\n{DENY}', f'name = "rest"\npath = "/{{x}}/*"\n{PASS}', PASS)
    last = (f'path = "{path}"\n{DENY}', PASS)
    told = {key: paths(key, *last) for key in ("encoded_slash", "upper_case", bypass.SLASH)}
    assert told == {"encoded_slash": slash, "upper_case": case, bypass.SLASH: end}
    silent = 'path_parameters = "keep"\nupper_case = "reject"\nencoded_slash = "decode"'
    left = found(*(f"{route}\n{silent}" for route in routes))
    assert [list(one.paths) for one in left if bypass.SLASH not in one.paths] == []


@pytest.mark.parametrize(
    ("keeper", "taker", "is_past"),
    [
        ('auth = "staff"', "", True),
        ('auth = "staff"', 'auth = "none"', True),
        ('auth = "staff"', 'auth = "staff"', False),
        ('auth = "staff"', 'auth = "keys"', True),
        ('auth = "staff"', 'auth = ["staff", "keys"]', True),
        ('auth = ["staff", "keys"]', 'auth = "keys"', False),
        ('auth = ["staff", "keys"]', 'auth = { all = ["keys"] }', False),
        ('auth = { all = ["staff", "keys"] }', 'auth = "keys"', True),
        ('auth = { all = ["staff", "keys"] }', 'auth = { all = ["keys", "staff"] }', False),
        ('auth = { any = ["keys"], scopes = ["a"] }', 'auth = "keys"', True),
        ('auth = { any = ["keys"], claims = { a = "1" } }', 'auth = "keys"', True),
        ('allow = ["10.0.0.0/8"]', "", True),
        ('allow = ["10.0.0.0/8"]', 'allow = ["10.0.0.0/8", "::1"]', True),
        ('allow = ["10.0.0.0/8", "::1"]', 'allow = ["10.0.0.0/8"]', False),
        ('deny = ["10.0.0.0/8"]', "", True),
        ('deny = ["10.0.0.0/8"]', 'deny = ["10.0.0.0/8", "::1"]', False),
        ('auth = "none"', "", False),
    ],
)
def test_who_lets_in_more_than_the_route_that_asks(keeper: str, taker: str, is_past: bool) -> None:
    routes = [
        Route(path="/admin/*", to={"u": 1}, **keys(keeper)),
        Route(path="/*", to={"u": 1}, **keys(taker)),
    ]
    assert bool(bypass.find(Table.compile(routes), routes)) is is_past


def test_defaults_ask_where_a_route_says_nothing() -> None:
    staff = AuthUse(any=["staff"])
    open_too = [Route(path="/admin/*", to={"u": 1}), Route(to={"u": 1}, auth=AuthUse())]
    [one] = bypass.find(Table.compile(open_too), open_too, Defaults(auth=staff))
    assert (one.keeper, one.taker) == (0, 1)
    both = [Route(path="/admin/*", to={"u": 1}, auth=staff), Route(to={"u": 1})]
    assert bypass.find(Table.compile(both), both, Defaults(auth=staff)) == []


def keys(text: str) -> dict[str, Any]:
    """What a line of a route says, as the model has it."""
    raw = {"route": [tomllib.loads(text)]}
    lengthen(raw, Report("f"))
    made: dict[str, Any] = raw["route"][0]
    if "auth" in made:
        made["auth"] = AuthUse(**made["auth"])
    return made


def test_a_segment_each_and_each_pair_once() -> None:
    routes = [f'path = "/a/b/*"\n{DENY}', f'path = "/a/*"\n{PASS}', PASS]
    told = [(one.keeper, one.taker, one.paths["path_parameters"]) for one in found(*routes)]
    assert told == [(0, 2, "/a;x/b/y"), (0, 1, "/a/b;x/y")]
