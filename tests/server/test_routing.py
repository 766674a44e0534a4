"""Routing as a client and a backend see it: which upstream, which path, which fields."""

from __future__ import annotations

import pytest

from proxy.server import endpoints, frames
from tests.harness import OK, Backend, Gateway, gateway, routes
from tests.server.kit import (
    ask,
    attributes,
    eventually,
    reply,
    request,
    routing,
    script,
    trace,
)

# Routes to fixed answers, so that a body says which one it was.
TABLE = """
[[route]]
name = "exact host"
host = "shop.example"
path = "/*"
respond = { body = "exact host" }
[[route]]
name = "any sub-domain"
host = "*.example"
path = "/*"
respond = { body = "sub-domain" }
[[route]]
name = "writes"
path = "/api/*"
when = { method = ["POST", "PUT"] }
respond = { body = "writes" }
[[route]]
name = "beta"
path = "/api/*"
when = { header = { x-beta = "1" } }
respond = { body = "beta" }
[[route]]
name = "beta and v2"
path = "/api/*"
when = { header = { x-beta = "1" }, query = { v = "2" } }
respond = { body = "beta and v2" }
[[route]]
name = "regex header"
path = "/api/*"
when = { header = { x-id = "~^[0-9]+$" } }
respond = { body = "number" }
[[route]]
name = "any header"
path = "/api/*"
when = { header = { x-any = "*" } }
respond = { body = "any" }
[[route]]
name = "one"
path = "/api/{id}"
respond = { body = "one" }
[[route]]
name = "fixed"
path = "/api/fixed"
respond = { body = "fixed" }
[[route]]
name = "below"
path = "/api/*"
respond = { body = "below" }
[[route]]
name = "versions"
path = "~^/v[0-9]+/x$"
respond = { body = "versions" }
"""

MATCHES = [
    ("GET", "/anything", "shop.example", [], "exact host"),
    ("GET", "/anything", "SHOP.example:8080", [], "exact host"),
    ("GET", "/anything", "a.b.example", [], "sub-domain"),
    ("GET", "/api/1/2", "g", [], "below"),
    ("GET", "/api", "g", [], "below"),
    ("GET", "/api/1", "g", [], "one"),
    ("GET", "/api/fixed", "g", [], "fixed"),
    ("GET", "/api/%66ixed", "g", [], "fixed"),
    ("GET", "/x/../api/./fixed", "g", [], "fixed"),
    ("GET", "//api//fixed", "g", [], "fixed"),
    ("GET", "http://shop.example/q", "shop.example", [], "exact host"),
    ("POST", "/api/1/2", "g", [], "writes"),
    ("GET", "/api/1/2", "g", ["X-Beta: 1"], "beta"),
    ("GET", "/api/1/2?v=2", "g", ["x-beta: 1"], "beta and v2"),
    ("GET", "/api/1/2?v=2", "g", [], "below"),
    ("GET", "/api/1/2?v=3&v=2", "g", ["X-Beta: 0"], "below"),
    ("GET", "/api/1/2", "g", ["X-Id: 123"], "number"),
    ("GET", "/api/1/2", "g", ["X-Id: 12a"], "below"),
    ("GET", "/api/1/2", "g", ["X-Any: thing"], "any"),
    ("GET", "/v12/x", "g", [], "versions"),
    ("GET", "/v12/x/", "g", [], None),
    ("GET", "/apiary", "g", [], None),
    ("GET", "/", "g", [], None),
]


@pytest.mark.parametrize(("method", "target", "host", "lines", "expected"), MATCHES)
async def test_which_route_answers(
    method: str, target: str, host: str, lines: list[str], expected: str | None
) -> None:
    async with gateway(routing({}, TABLE)) as gate:
        client = await gate.connect()
        head = [f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]
        client.write("\r\n".join(head).encode())
        answer = await client.answer()
        await client.close()
    if expected is None:
        assert answer.status == 404
    else:
        assert (answer.status, answer.body.decode()) == (200, expected)


async def test_requests_are_split_by_weight() -> None:
    async with Backend() as stable, Backend() as canary:
        config = "[[route]]\nto = { stable = 80, canary = 20 }"
        async with gateway(
            routing({"stable": [stable.url], "canary": [canary.url]}, config)
        ) as gate:
            client = await gate.connect()
            for _ in range(400):
                assert (await ask(client, "GET", "/x")).status == 200
            await client.close()
    assert len(stable.heads) + len(canary.heads) == 400
    assert 40 <= len(canary.heads) <= 130  # 80 expected; beyond five standard deviations


async def test_servers_take_turns_by_weight() -> None:
    async with Backend() as one, Backend() as other:
        config = f'[[route]]\nto = "b"\n[upstream.b.servers]\n"{one.url}" = 3\n"{other.url}" = 1'
        async with gateway(routing({}, config)) as gate:
            client = await gate.connect()
            for _ in range(8):
                assert (await ask(client, "GET", "/x")).status == 200
            await client.close()
    assert (len(one.heads), len(other.heads)) == (6, 2)


async def test_one_server_that_is_down_gets_nothing() -> None:
    async with Backend() as one, Backend() as other:
        config = routing({"b": [one.url, other.url]}, '[[route]]\nto = "b"') + "health = {}"
        async with gateway(config) as gate:
            for down in endpoints.encode_health([(("b", one.url), False)]):
                gate.recorded.send(frames.ENDPOINTS, down)
            await gate.recorded.collect()
            for _ in range(4):
                assert (await gate.get("/x")).status == 200
    assert (len(one.heads), len(other.heads)) == (0, 4)


@pytest.mark.parametrize(("panic", "status"), [("", 503), ("panic = 0.3", 200)])
async def test_when_all_servers_are_down_the_answer_is_503_without_panic(
    panic: str, status: int
) -> None:
    async with Backend() as one, Backend() as other:
        upstream = {"b": [one.url, other.url]}
        config = routing(upstream, '[[route]]\nto = "b"\nretry = 2') + f"health = {{}}\n{panic}"
        async with gateway(config) as gate:
            tell(gate, up=False, urls=[one.url, other.url])
            await gate.recorded.collect()
            answer = await gate.get("/x")
            assert answer.status == status
            if status == 503:
                assert "destination_unavailable" in str(answer["proxy-status"])
                seen = await trace(gate)
                assert (attributes(seen.server)["error.type"], seen.clients) == ("no_endpoint", [])
            tell(gate, up=True, urls=[other.url])
            await gate.recorded.collect()
            assert (await gate.get("/x")).status == 200
    assert len(one.heads) + len(other.heads) == (1 if status == 503 else 2)


def tell(gate: Gateway, *, up: bool, urls: list[str]) -> None:
    """What probes have found, as the hub says it."""
    for news in endpoints.encode_health([(("b", url), up) for url in urls]):
        gate.recorded.send(frames.ENDPOINTS, news)


# paths: what the route says, what is asked for, what the backend gets (None = 400)

PATHS = [
    ('path = "/*"', "/a/b?x=1&y", "/a/b?x=1&y"),
    ('path = "/*"', "/a%62/%7Eu/%e4", "/ab/~u/%E4"),
    ('path = "/*"', "/a/./b/../c", "/a/c"),
    ('path = "/*"', "/a//b", "/a/b"),
    ('path = "/*"', "/a?x=%2F%20&y=/../", "/a?x=%2F%20&y=/../"),
    ('path = "/*"', "/a;v=1/b", "/a;v=1/b"),
    # the query as it is, the empty one too
    ('path = "/*"', "/a?", "/a?"),
    ('path = "/*"', "/a??", "/a??"),
    ('path = "/*"', "/a?&&=", "/a?&&="),
    ('path = "/*"', "/a?q=é", "/a?q=%C3%A9"),
    ('path = "/*"', "http://gateway.test?", "/?"),
    ('path = "/old/*"\nrewrite = { strip = "/old" }', "/old/a?", "/a?"),
    ('path = "/old/*"\nrewrite = { prefix = "/new" }', "/old?", "/new?"),
    ('path = "/v1/{id}"\nrewrite = { path = "/v2/{id}" }', "/v1/4?", "/v2/4?"),
    ('path = "/f/*"\nencoded_slash = "decode"', "/f/a%2Fb?", "/f/a/b?"),
    ('path = "/f/*"\npath_parameters = "reject"', "/f/a;b", None),
    ('path = "/f/*"\npath_parameters = "reject"', "/f/a%3bb", None),
    ('path = "/f/*"\npath_parameters = "reject"', "/f/a?b;c", "/f/a?b;c"),
    ('path = "/f/*"\npath_parameters = "keep"', "/f/a;b", "/f/a;b"),
    ('path = "/*"', "/../a", None),
    ('path = "/*"', "/a%00b", None),
    ('path = "/*"', "/a%5cb", None),
    ('path = "/old/*"\nrewrite = { strip = "/old" }', "/old/a/b?q=1", "/a/b?q=1"),
    ('path = "/old/*"\nrewrite = { strip = "/old" }', "/old", "/"),
    ('path = "/old/*"\nrewrite = { prefix = "/new" }', "/old/a", "/new/a"),
    ('path = "/old/*"\nrewrite = { prefix = "/" }', "/old/a", "/a"),
    ('path = "/v1/{id}"\nrewrite = { path = "/v2/{id}" }', "/v1/42", "/v2/42"),
    ('path = "/v1/{id}"\nrewrite = { path = "/v2/{id}" }', "/v1/a%20b?x", "/v2/a%20b?x"),
    ('path = "/{a}/{b}"\nrewrite = { path = "/{b}/{a}" }', "/1/2", "/2/1"),
    ('path = "/{a}/*"\nrewrite = { path = "/t/{a}{*}" }', "/x/y/z", "/t/x/y/z"),
    # %2F: kept as data, decoded and matched again, or refused
    ('path = "/f/{n}"', "/f/a%2Fb", "/f/a%2Fb"),
    ('path = "/f/{n}"\nencoded_slash = "keep"', "/f/a%2fb", "/f/a%2Fb"),
    ('path = "/f/*"\nencoded_slash = "decode"', "/f/a%2Fb", "/f/a/b"),
    ('path = "/f/*"\nencoded_slash = "reject"', "/f/a%2Fb", None),
    ('path = "/f/*"\nencoded_slash = "reject"', "/f/a/b", "/f/a/b"),
    ('path = "/f/{n}"\nrewrite = { path = "/g/{n}" }', "/f/a%2Fb", "/g/a%2Fb"),
    ('path = "/*"', "/a%2F..%2Fb", None),  # a dot segment hidden from one of two readers
]


@pytest.mark.parametrize(("route", "asked", "got"), PATHS)
async def test_which_path_the_backend_is_asked_for(route: str, asked: str, got: str | None) -> None:
    async with Backend() as backend:
        config = routing({"b": [backend.url]}, f'[[route]]\n{route}\nto = "b"')
        async with gateway(config) as gate:
            answer = await gate.get(asked)
    if got is None:
        assert answer.status == 400 and not backend.heads
    else:
        assert answer.status == 200
        assert backend.heads[0].split(b"\r\n")[0] == f"GET {got} HTTP/1.1".encode()


async def test_decoding_a_slash_decides_the_route_anew() -> None:
    """Else a rule on /admin could be walked around by /f/..%2Fadmin or /f%2F..."""
    config = """
[[route]]
path = "/f/*"
encoded_slash = "decode"
to = "b"
[[route]]
path = "/f/admin/*"
respond = { status = 403 }
"""
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, config)) as gate:
        assert (await gate.get("/f/admin%2Fx")).status == 403
        assert (await gate.get("/f/x%2Fadmin")).status == 200
    assert [h.split()[1] for h in backend.heads] == [b"/f/x/admin"]


async def test_a_decoded_slash_that_leads_nowhere_is_404() -> None:
    config = '[[route]]\npath = "/f/{n}"\nencoded_slash = "decode"\nto = "b"'
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, config)) as gate:
        assert (await gate.get("/f/a%2Fb")).status == 404
        assert (await gate.get("/f/a")).status == 200


# header fields


async def test_edits_of_the_request() -> None:
    route = """
[route.headers.request]
set = { X-Team = "shop", x-replaced = "ours" }
add = { X-List = "2" }
remove = ["X-Debug", "cookie"]
"""
    sent = ["X-Replaced: theirs", "X-List: 1", "X-debug: 1", "Cookie: a=b", "X-Kept: yes"]
    async with Backend() as backend, gateway(routes(backend, route=route)) as gate:
        for _ in range(2):  # the second on a warm connection, by the same compiled edits
            assert (await gate.get("/x", *sent)).status == 200
    for i in range(2):
        got = {n: backend.field(n, i) for n in ("x-team", "x-replaced", "x-list", "x-kept")}
        assert got == {"x-team": "shop", "x-replaced": "ours", "x-list": "1, 2", "x-kept": "yes"}
        assert backend.field("x-debug", i) is None and backend.field("cookie", i) is None


async def test_edits_of_the_response() -> None:
    route = """
[route.headers.response]
set = { Server = "gate" }
add = { X-List = "2" }
remove = ["X-Powered-By"]
"""
    answers = script(reply(200, b"ok", "Server: b/1", "X-List: 1", "x-powered-by: magic", "X-A: 1"))
    async with Backend(answers) as backend, gateway(routes(backend, route=route)) as gate:
        for _ in range(2):
            answer = await gate.get("/x")
            assert (answer["server"], answer["x-list"], answer["x-a"]) == ("gate", "1, 2", "1")
            assert answer["x-powered-by"] == ""


async def test_fields_keep_their_order_their_spelling_and_their_repetitions() -> None:
    answers = script(reply(200, b"ok", "X-B: 1", "Set-Cookie: a=1", "x-A: 2", "Set-Cookie: b=2"))
    async with Backend(answers) as backend, gateway(routes(backend)) as gate:
        answer = await gate.get("/x", "X-Z: 1", "x-y: 2", "X-Z: 3")
    head = backend.heads[0].decode()
    assert [x for x in head.split("\r\n") if x.lower()[:3] in ("x-z", "x-y")] == [
        "X-Z: 1",
        "x-y: 2",
        "X-Z: 3",
    ]
    told = answer.head.decode().split("\r\n")
    assert [x for x in told if x.partition(":")[0] in ("X-B", "Set-Cookie", "x-A")] == [
        "X-B: 1",
        "Set-Cookie: a=1",
        "x-A: 2",
        "Set-Cookie: b=2",
    ]


HOSTS = [("", "gateway.test"), ('host_header = "inside.example:81"', "inside.example:81")]


@pytest.mark.parametrize(("route", "expected"), HOSTS)
async def test_which_host_the_backend_sees(route: str, expected: str) -> None:
    async with Backend() as backend, gateway(routes(backend, route=route)) as gate:
        await gate.get("/x")
    assert backend.field("host") == expected
    assert backend.field("x-forwarded-host") == "gateway.test"
    assert backend.heads[0].split(b"\r\n")[1].lower().startswith(b"host:")  # RFC 9110 §7.2


async def test_a_route_may_have_no_body_edits_at_all_and_a_body() -> None:
    """Edits touch heads only: bodies stay as they were, framing included."""
    bodies: list[bytes] = []

    async def keep(peer: object) -> None:
        bodies.append((await request(peer))[1])  # type: ignore[arg-type]
        peer.write(OK)  # type: ignore[attr-defined]

    route = '[route.headers.request]\nset = { X-Team = "shop" }'
    async with Backend(keep) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        assert (await ask(client, "POST", "/x", body=b"hello")).status == 200
        await client.close()
        await eventually(lambda: bodies)
    assert bodies == [b"hello"] and backend.field("content-length") == "5"


async def test_a_host_with_the_root_s_dot_is_the_same_host() -> None:
    async with Backend() as backend, gateway(routes(backend, route='host = "shop.test"')) as gate:
        answer = await gate.exchange(
            b"GET / HTTP/1.1\r\nHost: shop.test.\r\nConnection: close\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_http_1_0_without_host_is_forwarded_with_one() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.exchange(b"GET / HTTP/1.0\r\n\r\n")
        assert backend.field("host") == f"127.0.0.1:{backend.port}"


async def test_a_route_of_one_listener_alone() -> None:
    text = """
listen = [{ address = ":1", name = "public" }, { address = ":2", name = "inner" }]
[[route]]
name = "inside"
respond = "inner"
when = { listener = "inner" }
[[route]]
name = "outside"
respond = "public"
when = { listener = "public" }
"""
    async with gateway(text) as gate:  # which listens on the first one alone
        assert (await gate.get("/x")).body == b"public"
        await gate.reload(
            text.replace('name = "public"', 'name = "else"').replace('r = "public"', 'r = "else"')
        )
        assert (await gate.get("/x")).body == b"public"
