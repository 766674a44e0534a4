"""Routes that deny cannot be walked around: not by how a host, a path or a field is written.

A row is what is sent; it must be answered by a route that denies (403), or refused (400), and
never reach the backend. What is meant as something else must reach it.
"""

from __future__ import annotations

import pytest

from tests.harness import Backend, Gateway, gateway
from tests.server.kit import routing

ROUTES = """
[[route]]
name = "no host"
host = ["admin.example", "[2001:db8::1]"]
respond = { status = 403, body = "host" }
[[route]]
name = "no admins"
when = { header = { x-role = "admin" } }
respond = { status = 403, body = "role" }
[[route]]
name = "no debugging"
when = { query = { debug = "1" } }
respond = { status = 403, body = "query" }
[[route]]
name = "guests go home"
when = { header = { x-role = "guest" } }
redirect = { to = "https://example.com/", status = 302 }
[[route]]
name = "no path"
path = "/admin/*"
respond = { status = 403, body = "path" }
[[route]]
name = "staff"
path = "/staff/*"
when = { header = { x-group = "staff" } }
to = "b"
rewrite = { path = "/passed" }
[[route]]
name = "all else"
path_parameters = "reject"
to = "b"
"""

HOSTS = [
    "admin.example", "ADMIN.Example", "admin.example.", "admin.example:", "admin.example:080",
    "admin.example.:81", "%61dmin.example", "%41DMIN%2eexample", "[2001:DB8:0::0:1]",
    "[2001:db8::1]:",
]  # fmt: skip
BAD_HOSTS = [
    "admin.example..", ".admin.example", "admin..example", "admin.example%00", "admin.example%20",
    "admin.example%2e.", "admin.example%3a80", "%61dmin.example%2f", "admin.example%zz", "a b",
    "admin.example,b", "u@admin.example", "admin.example/", "admin.example:x",
    "admin.example:65536", "[2001:db8::1%25eth0]", "[2001:db8::1", "2001:db8::1",
    "[2001:db8::1].", "ädmin.example",
]  # fmt: skip


async def asked(gate: Gateway, target: str, *lines: str) -> tuple[int, str]:
    """(status, body)"""
    head = "\r\n".join([f"GET {target} HTTP/1.1", *lines, "Connection: close", "", ""])
    answer = await gate.exchange(head.encode())
    return int(answer.split(b" ")[1]), answer.partition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize("host", HOSTS)
async def test_every_spelling_of_a_host_meets_its_routes(host: str) -> None:
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, ROUTES)) as gate:
        assert await asked(gate, "/", f"Host: {host}") == (403, "host")
        assert await asked(gate, f"http://{host}/", f"Host: {host}") == (403, "host")
    assert not backend.heads


@pytest.mark.parametrize("host", BAD_HOSTS)
async def test_what_is_no_host_is_refused(host: str) -> None:
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, ROUTES)) as gate:
        assert (await asked(gate, "/", f"Host: {host}"))[0] == 400
    assert not backend.heads


@pytest.mark.parametrize("host", ["H.example:", "h.example.", "h.example:"])
async def test_the_backend_is_told_the_host_that_was_matched(host: str) -> None:
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, ROUTES)) as gate:
        assert (await asked(gate, "/", f"Host: {host}"))[0] == 200
        assert backend.field("host") == backend.field("x-forwarded-host") == "h.example"


ROLES = [
    (["X-Role: admin"], "role"),
    (["x-role:\tadmin "], "role"),
    (["X-Role: admin", "X-Role: guest"], "role"),
    (["X-Role: guest", "x-ROLE: admin"], "role"),
    (["X-Role: user, admin"], "role"),
    (["X-Role: admin,"], "role"),
    (["X-Role: user", "X-Role: guest"], ""),  # a redirect denies too
]


@pytest.mark.parametrize(("lines", "body"), ROLES)
async def test_another_line_of_a_field_hides_nothing(lines: list[str], body: str) -> None:
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, ROUTES)) as gate:
        status, said = await asked(gate, "/", "Host: h", *lines)
        assert (status, said) == (403 if body else 302, body)
        status, said = await asked(gate, "/?x=1&debug=0&debug=1", "Host: h")
        assert (status, said) == (403, "query")
    assert not backend.heads


async def test_an_underscore_hides_nothing_where_it_passes() -> None:
    routes = ROUTES + "[forwarding]\nunderscores = 'pass'"
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, routes)) as gate:
        assert await asked(gate, "/", "Host: h", "X_Role: admin") == (403, "role")
        assert await asked(gate, "/", "Host: h", "x_role: admin", "X-Role: x") == (403, "role")
        assert (await asked(gate, "/staff/x", "Host: h", "X_Group: staff"))[0] == 200
    assert backend.heads[0].split()[1] == b"/staff/x"


GROUPS = [
    (["X-Group: staff"], "/passed"),
    (["X-Group: staff "], "/passed"),
    (["X-Group: guest", "X-Group: staff"], "/staff/x"),
    (["X-Group: staff", "X-Group: guest"], "/staff/x"),
    (["X-Group: staff, guest"], "/staff/x"),
]


@pytest.mark.parametrize(("lines", "path"), GROUPS)
async def test_another_line_of_a_field_opens_no_door(lines: list[str], path: str) -> None:
    """A route that forwards takes a field as a whole."""
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, ROUTES)) as gate:
        assert (await asked(gate, "/staff/x", "Host: h", *lines))[0] == 200
    assert backend.heads[0].split()[1] == path.encode()


PATHS = [
    "/admin", "/admin/", "/admin/x", "//admin", "/./admin", "/x/../admin/x", "/%61dmin",
    "/admin//x", "/%2e/admin", "/x/%2e%2E/admin", "/admin?debug=0", "/admin/%2e/x",
]  # fmt: skip
BAD_PATHS = [
    "/admin;x/y", "/admin;", "/admin%3bx", "/admin%3B/x", "/;/admin", "/x/..;/admin",
    "/x/..%3b/admin", "/x/..%2fadmin", "/x\\..\\admin", "/x/..%5cadmin", "/admin%00", "/admin%0d",
    "/../admin", "/admin/%2e%2e%2f", "/\xe4dmin",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_every_spelling_of_a_path_meets_its_routes(path: str) -> None:
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, ROUTES)) as gate:
        assert await asked(gate, path, "Host: h") == (403, "path")
    assert not backend.heads


@pytest.mark.parametrize("path", BAD_PATHS)
async def test_what_servers_might_take_for_that_path_is_refused(path: str) -> None:
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, ROUTES)) as gate:
        assert (await asked(gate, path, "Host: h"))[0] == 400
    assert not backend.heads


async def test_parameters_pass_where_a_route_does_not_mind() -> None:
    routes = ROUTES.replace('path_parameters = "reject"', "")
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, routes)) as gate:
        assert (await asked(gate, "/admin;x/y", "Host: h"))[0] == 200
    assert backend.heads[0].split()[1] == b"/admin;x/y"
