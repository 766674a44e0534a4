"""Routes that deny, and what goes past them by a parameter in the path."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.routing import bypass
from proxy.routing.table import Table

DENY = "respond = { status = 403 }"
PASS = 'to = "http://127.0.0.1:1"'


def found(*routes: str) -> list[tuple[int, int, str]]:
    config = loads("".join(f"[[route]]\n{route}\n" for route in routes), "test.toml", {}).config
    return bypass.find(Table.compile(config.route), config.route)


@pytest.mark.parametrize(
    ("routes", "paths"),
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
def test_what_goes_past_a_route_that_denies(routes: list[str], paths: list[str]) -> None:
    assert [path for _, _, path in found(*routes)] == paths


def test_a_segment_each_and_each_pair_once() -> None:
    routes = [f'path = "/a/b/*"\n{DENY}', f'path = "/a/*"\n{PASS}', PASS]
    assert found(*routes) == [(0, 2, "/a;x/b/y"), (0, 1, "/a/b;x/y")]
