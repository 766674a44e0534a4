"""CORS over real sockets: answers, errors and preflights, by HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import pytest

from tests.harness import Answer, Backend, Gateway, gateway, routes
from tests.server.h2_kit import h2_client
from tests.server.kit import ask, eventually, refusing, reply, routing, script, trace, traces

SHOP = "Origin: https://shop.example"
CORS = """
cors = { origins = ["https://shop.example"], methods = ["PUT"], headers = ["x-a"], \
expose = ["x-b"], credentials = true, max_age = "10m" }
"""
ALLOW = "access-control-allow-origin"


def is_readable(answer: Answer) -> bool:
    """For a page of the shop that sent credentials; each line once, which browsers insist on."""
    names = [name for name, _ in answer.fields if name.startswith("access-control-")]
    assert len(set(names)) == len(names)
    assert "Origin" in answer["vary"]
    if ALLOW not in names:
        assert not names
        return False
    assert answer[ALLOW] == "https://shop.example"
    assert answer["access-control-allow-credentials"] == "true"
    return True


async def preflight(gate: Gateway, *lines: str, path: str = "/", method: str = "PUT") -> Answer:
    client = await gate.connect()
    asked = f"Access-Control-Request-Method: {method}"
    answer = await ask(client, "OPTIONS", path, asked, *(lines or (SHOP,)))
    await client.close()
    return answer


async def test_a_simple_request() -> None:
    async with Backend() as backend, gateway(routes(backend, route=CORS)) as gate:
        answer = await gate.get("/", SHOP)
        assert answer.status == 200 and is_readable(answer)
        assert answer["access-control-expose-headers"] == "x-b"
        assert not is_readable(await gate.get("/", "Origin: https://shop.example.evil"))
        assert not is_readable(await gate.get("/"))
        assert len(backend.heads) == 3
        assert backend.field("origin", 0) == "https://shop.example"


async def test_what_the_upstream_says_is_dropped() -> None:
    theirs = (
        "access-control-allow-ORIGIN: *",
        "Access-Control-Allow-Origin: https://evil.example",
        "Access-Control-Allow-Credentials: true",
        "Access-Control-Expose-Headers: x-secret",
        "Vary: Accept",
        "X-B: 1",
    )
    async with Backend(script(reply(200, b"ok", *theirs))) as backend:
        async with gateway(routes(backend, route=CORS)) as gate:
            answer = await gate.get("/", SHOP)
            assert is_readable(answer)
            assert answer["access-control-expose-headers"] == "x-b"
            assert (answer["vary"], answer["x-b"]) == ("Accept, Origin", "1")
            assert not is_readable(await gate.get("/", "Origin: https://evil.example"))
        async with gateway(routes(backend)) as gate:
            assert "https://evil.example" in (await gate.get("/", SHOP))[ALLOW]


async def test_a_preflight_is_answered_here_and_before_authentication() -> None:
    said = 'issuer = "https://id.example", jwks = "https://id.example/jwks"'
    jwt = f"[auth.a]\njwt = {{ {said} }}\n"
    async with Backend() as backend:
        config = routes(backend, jwt, CORS + 'auth = "a"\n')
        async with gateway(config) as gate:
            assert (await gate.get("/", SHOP)).status in (401, 503)
            answer = await preflight(gate, SHOP, "Access-Control-Request-Headers: x-A")
            assert answer.status == 204 and is_readable(answer)
            assert answer["access-control-allow-methods"] == "PUT"
            assert answer["access-control-allow-headers"] == "x-a"
            assert answer["access-control-max-age"] == "600"
            assert answer["content-length"] == ""
            for lines, method in (
                ((SHOP,), "DELETE"),
                ((SHOP, "Access-Control-Request-Headers: x-b"), "PUT"),
                (("Origin: https://shop.example:443",), "PUT"),
                ((SHOP, SHOP), "PUT"),
            ):
                refused = await preflight(gate, *lines, method=method)
                assert refused.status == 204 and not is_readable(refused)
            assert not backend.heads
            about = (await traces(gate, 6))[1].about
            assert about["http.response.status_code"] == 204
            assert about["http.route"] == "/*"
            plain = await ask(await gate.connect(), "OPTIONS", "/", SHOP)  # no preflight
            assert plain.status in (401, 503) and is_readable(plain)
            assert not backend.heads


async def test_the_address_and_the_limit_come_before_a_preflight() -> None:
    trust = '[forwarding]\ntrust = ["127.0.0.1"]\n'
    route = CORS + '\ndeny = ["10.0.0.0/8"]\nrate = "1/h"\n'
    async with Backend() as backend, gateway(routes(backend, trust, route)) as gate:
        denied = await preflight(gate, SHOP, "X-Forwarded-For: 10.0.0.1")
        assert denied.status == 403 and is_readable(denied)
        assert (await preflight(gate)).status == 204
        limited = await preflight(gate)
        assert limited.status == 429 and is_readable(limited)


async def test_a_preflight_goes_by_the_route_of_the_method_that_it_asks_for() -> None:
    more = f"""
[[route]]
path = "/a"
when = {{ method = "PUT" }}
to = "b"
{CORS}
[[route]]
path = "/a"
when = {{ method = "GET" }}
to = "b"
"""
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        assert is_readable(await preflight(gate, path="/a"))
        answer = await preflight(gate, path="/a", method="GET")
        assert answer[ALLOW] == "" and answer.status != 204


async def test_errors_can_be_read_too() -> None:
    with refusing() as down:
        more = f'[[route]]\npath = "/*"\nto = "b"\n{CORS}\n'
        async with gateway(routing({"b": [down]}, more)) as gate:
            answer = await gate.get("/", SHOP)
            assert answer.status == 503 and is_readable(answer)
    async with Backend() as backend:
        await_body = routes(backend, route=CORS + 'body_limit = "1KiB"\n')
        async with gateway(await_body) as gate:
            answer = await ask(await gate.connect(), "POST", "/", SHOP, body=b"x" * 2000)
            assert answer.status == 413 and is_readable(answer)
        async with gateway(routes(backend, route=CORS + 'allow = ["10.0.0.0/8"]\n')) as gate:
            answer = await gate.get("/", SHOP)
            assert answer.status == 403 and is_readable(answer)
            assert (await trace(gate)).about["spangate.denied.reason"] == "address"


METHODS = f"""
[[route]]
path = "/a"
when.method = "PUT"
to = "b"
secure_headers = true
{CORS}
[[route]]
path = "/a"
when.method = ["PATCH", "POST"]
to = "b"
"""


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "GET"])
async def test_a_method_that_no_route_takes(method: str) -> None:
    """The answer is that of the first route that takes others."""
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, METHODS)) as gate:
        answer = await ask(await gate.connect(), method, "/a", SHOP)
        assert (answer.status, answer["allow"]) == (405, "PATCH, POST, PUT") and is_readable(answer)
        assert answer["x-content-type-options"] == "nosniff"
        for origin in ("Origin: https://evil.example", "X-A: 1"):
            answer = await ask(await gate.connect(), method, "/a", origin)
            assert answer.status == 405 and not is_readable(answer)
        shop = (b"origin", b"https://shop.example")
        got = await (await h2_client(gate)).get("/a", shop, method=method)
        assert (got.status, got[ALLOW], got["vary"]) == (405, "https://shop.example", "Origin")
        assert not backend.heads


async def test_what_belongs_to_no_route_with_cors() -> None:
    plain = '[[route]]\npath = "/plain"\nwhen.method = "GET"\nto = "b"\n'
    async with (
        Backend() as backend,
        gateway(routing({"b": [backend.url]}, METHODS + plain)) as gate,
    ):
        for method, path, status in (
            ("DELETE", "/plain", 405), ("PUT", "/b", 404), ("OPTIONS", "*", 200)
        ):  # fmt: skip
            answer = await ask(await gate.connect(), method, path, SHOP)
            assert (answer.status, answer[ALLOW], answer["vary"]) == (status, "", "")
        assert not backend.heads


async def test_answers_of_the_gateway_itself() -> None:
    more = f"""
[[route]]
path = "/own"
respond = {{ status = 200, body = "own" }}
{CORS}
[[route]]
path = "/old"
redirect = "/own"
{CORS}
"""
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        assert is_readable(await gate.get("/own", SHOP))
        assert is_readable(await gate.get("/old", SHOP))
        assert is_readable(await preflight(gate, path="/old"))  # browsers follow none of them


async def test_any_origin_without_credentials() -> None:
    route = 'cors = { origins = "*", methods = "*", headers = "*" }'
    async with Backend() as backend, gateway(routes(backend, route=route)) as gate:
        for lines in ((SHOP,), ("Origin: null",), ("Origin: rub bish",), ()):
            answer = await gate.get("/", *lines)
            assert answer[ALLOW] == "*" and not answer["access-control-allow-credentials"]
        answer = await preflight(gate, SHOP, "Access-Control-Request-Headers: x-a", method="PURGE")
        assert answer["access-control-allow-methods"] == "*"
        assert answer["access-control-allow-headers"] == "*"


async def test_over_http2() -> None:
    shop = (b"origin", b"https://shop.example")
    asked = (b"access-control-request-method", b"PUT")
    async with Backend() as backend, gateway(routes(backend, route=CORS)) as gate:
        client = await h2_client(gate)
        got = await client.get("/", shop)
        assert (got.status, got[ALLOW], got["vary"]) == (200, "https://shop.example", "Origin")
        got = await client.get("/", shop, asked, method="OPTIONS")
        assert (got.status, got[ALLOW]) == (204, "https://shop.example")
        assert got["access-control-allow-methods"] == "PUT"
        got = await client.get("/", (b"origin", b"https://evil.example"), asked, method="OPTIONS")
        assert (got.status, got[ALLOW]) == (204, "")
        assert len(backend.heads) == 1


@pytest.mark.parametrize("size", [300, 60_000])
async def test_a_huge_origin_is_no_burden(size: int) -> None:
    async with Backend() as backend, gateway(routes(backend, route=CORS)) as gate:
        origin = "Origin: https://" + "a." * (size // 2) + "shop.example"
        answer = await gate.get("/", origin)
        assert answer.status in (200, 431) and answer[ALLOW] == ""


async def test_a_reload_takes_it_away() -> None:
    async with Backend() as backend, gateway(routes(backend, route=CORS)) as gate:
        assert is_readable(await gate.get("/", SHOP))
        await gate.reload(routes(backend))
        assert (await gate.get("/", SHOP))[ALLOW] == ""
        await eventually(lambda: len(backend.heads) == 2)


async def test_what_is_closed_says_so_to_pages_too() -> None:
    route = CORS + "maintenance = true\nsecure_headers = true\n"
    async with Backend() as backend, gateway(routes(backend, route=route)) as gate:
        answer = await gate.get("/", SHOP)
        assert answer.status == 503 and is_readable(answer)
        assert answer["x-content-type-options"] == "nosniff"
