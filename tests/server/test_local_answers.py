"""What the gateway answers by itself: fixed answers, redirects, and errors."""

from __future__ import annotations

import json

import pytest

from proxy.upstream.balance import RoundRobin
from proxy.upstream.endpoint import Endpoint
from tests.harness import Backend, Peer, gateway, routes
from tests.server.kit import ask, blackhole, refusing, request, routing, script, send

FIXED = """
[[route]]
path = "/pong"
respond = { status = 200, body = "pong" }
[[route]]
path = "/teapot"
respond = { status = 418, body = "{}", headers = { Content-Type = "text/x", X-Pot = "tea" } }
[[route]]
path = "/empty"
respond = { status = 204 }
[[route]]
path = "/unchanged"
respond = { status = 304 }
"""


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_fixed_answer(method: str) -> None:
    async with gateway(routing({}, FIXED)) as gate:
        client = await gate.connect()
        for _ in range(2):
            body = b"given" if method == "POST" else b""
            answer = await ask(client, method, "/pong", body=body)
            assert (answer.status, answer["content-length"]) == (200, "4")
            assert answer["content-type"] == "text/plain; charset=utf-8"
            assert answer.body == (b"" if method == "HEAD" else b"pong")
            answer = await ask(client, method, "/teapot")
            assert (answer.status, answer["x-pot"]) == (418, "tea")
            assert answer["content-type"] == "text/x"
            answer = await ask(client, method, "/empty")
            assert (answer.status, answer["content-length"], answer.body) == (204, "", b"")
            answer = await ask(client, method, "/unchanged")
            assert (answer.status, answer["content-length"], answer.body) == (304, "", b"")
        await client.close()


async def test_a_fixed_answer_to_a_request_whose_body_still_comes() -> None:
    """The body is not waited for, and the connection ends in an orderly way."""
    async with gateway(routing({}, FIXED)) as gate:
        client = await gate.connect()
        send(client, "POST", "/pong", "Content-Length: 10")
        answer = await client.answer()
        assert (answer.body, answer["connection"]) == (b"pong", "close")
        client.write(b"0123456789")
        assert await client.at_end()
        await client.close()


# redirects

LOCATIONS = [
    # path, to, request, Location
    ("/moved", "https://example.com/new", "/moved", "https://example.com/new"),
    ("/moved", "https://example.com/new", "/moved?x=1", "https://example.com/new?x=1"),
    ("/moved", "https://example.com/new?", "/moved?x=1", "https://example.com/new"),
    ("/moved", "https://example.com/new", "/moved?", "https://example.com/new?"),
    ("/*", "{path}/{?query}", "/a?x=1", "/a/?x=1"),
    ("/*", "{path}/{?query}", "/a", "/a/"),
    ("/old/*", "https://example.com{path}?{query}", "/old/a/b?x=1&y=2",
     "https://example.com/old/a/b?x=1&y=2"),
    ("/u/{id}", "/users/{id}", "/u/42", "/users/42"),
    ("/u/{id}", "/users/{id}", "/u/a%2Fb", "/users/a%2Fb"),
    # nothing that a client sends ends the field or leaves the place it was meant for
    ("/u/{id}", "/users/{id}", "/u/%0d%0aSet-Cookie:%20a=b", None),
    ("/u/{id}", "/users/{id}", "/u/a?next=%0d%0aX:1", "/users/a?next=%0d%0aX:1"),
    ("/u/{id}", "/{id}", "/u/%2Fevil.example", "/%2Fevil.example"),
    ("/u/*", "/go{*}", "/u//evil.example", "/go/evil.example"),
    ("/*", "/go{path}", "//evil.example/x", "/go/evil.example/x"),
    ("/*", "https://example.com{path}", "/@evil.example", "https://example.com/@evil.example"),
    ("/*", "https://example.com{path}?{query}", "/?a=%22%0A", "https://example.com/?a=%22%0A"),
    ("/*", "https://example.com{path}", "/a\\b", None),
]  # fmt: skip


@pytest.mark.parametrize(("path", "to", "asked", "location"), LOCATIONS)
async def test_where_a_redirect_leads(path: str, to: str, asked: str, location: str | None) -> None:
    config = f'[[route]]\npath = "{path}"\nredirect = {{ to = "{to}", status = 307 }}'
    async with gateway(routing({}, config)) as gate:
        answer = await gate.get(asked)
    if location is None:
        assert answer.status == 400 and not answer["location"]
    else:
        assert (answer.status, answer["location"]) == (307, location)
        assert answer["content-length"] == "0"
    assert not answer["set-cookie"] and not answer["x"]


# errors: the body is what the client takes

BODIES = [
    ([], "application/json"),
    (["Accept: */*"], "application/json"),
    (["Accept: application/json"], "application/json"),
    (["Accept: text/html, application/json;q=0.5"], "application/json"),
    (["Accept: text/html,application/xhtml+xml,*/*;q=0.8"], "text/plain; charset=utf-8"),
    (["Accept: text/plain"], "text/plain; charset=utf-8"),
    (["Accept: application/problem+json"], "application/json"),
]


@pytest.mark.parametrize(("lines", "kind"), BODIES)
async def test_an_error_is_told_as_the_client_likes_it(lines: list[str], kind: str) -> None:
    config = '[[route]]\nhost = "other.test"\nto = "http://127.0.0.1:1"'
    async with gateway(routing({}, config)) as gate:
        answer = await gate.get("/x", *lines)
    assert (answer.status, answer["content-type"]) == (404, kind)
    assert answer["proxy-status"] == "spangate; error=destination_not_found"
    assert int(answer["content-length"]) == len(answer.body) < 300
    if kind == "application/json":
        told = json.loads(answer.body)
        assert told["status"] == 404 and told["error"] == "destination_not_found"
    else:
        assert answer.body.startswith(b"404 ")


async def test_an_error_tells_the_trace_if_it_is_recorded() -> None:
    traced = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    config = '[[route]]\nhost = "other.test"\nto = "http://127.0.0.1:1"'
    async with gateway(routing({}, config)) as gate:
        with_it = json.loads((await gate.get("/x", traced)).body)
        without = json.loads((await gate.get("/x", traced.replace("-01", "-00"))).body)
    assert with_it["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert "trace_id" not in without


async def quit_at_once(peer: Peer) -> None:
    await request(peer)


async def silent(peer: Peer) -> None:
    await peer.rest()


# RFC 9209 §2.3: what failed -> status, error
ERRORS = {
    "refused": (503, "connection_refused"),
    "blackhole": (504, "connection_timeout"),
    "closed": (502, "connection_terminated"),
    "silent": (504, "http_response_timeout"),
    "nonsense": (502, "http_protocol_error"),
    "no such name": (503, "dns_error"),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ERRORS)
async def test_what_failed_is_told_in_proxy_status_and_nothing_internal_is(
    kind: str, method: str
) -> None:
    status, error = ERRORS[kind]
    limits = 'connect_timeout = "100ms"\nfirst_byte_timeout = "50ms"'
    handlers = {"closed": quit_at_once, "silent": silent, "nonsense": script(b"HELLO\r\n\r\n")}
    async with Backend(handlers.get(kind)) as backend:
        with refusing() as nobody, blackhole() as hole:
            url = {"refused": nobody, "blackhole": hole, "no such name": "http://x.invalid:80"}.get(
                kind, backend.url
            )
            config = routing({"secret-name": [url]}, f'[[route]]\nto = "secret-name"\n{limits}')
            if kind == "no such name":
                config = config.replace("100ms", "9s")
            async with gateway(config) as gate:
                client = await gate.connect()
                answer = await ask(client, method, "/x")
                again = await ask(client, method, "/x")  # an upstream's fault ends no connection
                await client.close()
    assert (answer.status, again.status) == (status, status)
    assert answer["proxy-status"] == f"spangate; error={error}"
    assert int(answer["content-length"]) > 0 and bool(answer.body) is (method == "GET")
    told = answer.head + answer.body
    for secret in (b"127.0.0.1", b"invalid", b"secret-name", b"Traceback", b"Errno", b".py"):
        assert secret not in told


async def test_a_fault_of_the_gateways_own_is_a_500_without_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(RoundRobin):
        def pick(self, *_: object) -> Endpoint | None:
            raise KeyError("a secret of the inside")

    async with Backend() as backend, gateway(routes(backend)) as gate:
        endpoint = next(gate.worker.upstreams.endpoints())
        state = gate.worker.upstreams.get(endpoint.upstream)
        assert state is not None
        state.balancer = Broken()
        answer = await gate.get("/x")
        assert gate.made == 1
    assert answer.status == 500 and answer["proxy-status"].endswith("error=proxy_internal_error")
    assert b"secret" not in answer.head + answer.body and b"KeyError" not in answer.body
    assert "a request failed inside the gateway" in caplog.text  # operators do see it


async def test_no_answer_of_an_upstream_carries_our_reason() -> None:
    """Proxy-Status says that the gateway made the answer, so a backend's own 502 has none."""
    answers = script(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n")
    async with Backend(answers) as backend, gateway(routes(backend)) as gate:
        answer = await gate.get("/x")
    assert answer.status == 502 and answer["proxy-status"] == ""


# bodies that are too large

LIMITED = [
    ("Content-Length: 11", b"", 413),
    ("Content-Length: 10", b"0123456789", 200),
    ("Transfer-Encoding: chunked", b"5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n", 413),
    ("Transfer-Encoding: chunked", b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", 200),
]


@pytest.mark.parametrize(("framing", "body", "status"), LIMITED)
async def test_a_body_beyond_the_limit_is_413(framing: str, body: bytes, status: int) -> None:
    answers = script(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    route = 'body_limit = "10B"'
    async with Backend(answers) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", framing)
        client.write(body)
        answer = await client.answer()
        assert answer.status == status
        assert answer["connection"] == ("close" if status == 413 else "")
        await client.close()
