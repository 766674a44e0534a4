"""Names, attributes and statuses of the spans of everything that can happen to a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import OK, Backend, Gateway, Peer, gateway, routes
from tests.server.kit import (
    ERROR,
    UNSET,
    Gate,
    Trace,
    ask,
    attributes,
    blackhole,
    check_shape,
    eventually,
    is_settled,
    refusing,
    reply,
    request,
    routing,
    script,
    send,
    series,
    trace,
    traces,
)

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = f"traceparent: 00-{TRACE_ID}-{PARENT}-01"


async def quit_after_head(peer: Peer) -> None:
    await peer.head()


async def reset_after_head(peer: Peer) -> None:
    await peer.head()
    peer.reset()


def once(answer: bytes) -> Callable[[Peer], Any]:
    """Answers with these bytes and closes."""

    async def handle(peer: Peer) -> None:
        await request(peer)
        peer.write(answer)

    return handle


async def silent(peer: Peer) -> None:
    await peer.head()
    await peer.reader.read(-1)


def stalled(answer: bytes) -> Callable[[Peer], Any]:
    async def handle(peer: Peer) -> None:
        await peer.head()
        peer.write(answer)
        await peer.reader.read(-1)

    return handle


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"

# what the backend does, the route's settings, then: client's status (0 = cut off),
# SERVER status and error.type, CLIENT http status, status and error.type
SITUATIONS = {
    "ok": (script(OK), "", 200, UNSET, None, 200, UNSET, None),
    "204": (script(b"HTTP/1.1 204 N\r\n\r\n"), "", 204, UNSET, None, 204, UNSET, None),
    "301": (script(reply(301)), "", 301, UNSET, None, 301, UNSET, None),
    "404 of upstream": (script(reply(404)), "", 404, UNSET, None, 404, ERROR, "404"),
    "500 of upstream": (script(reply(500)), "", 500, ERROR, "500", 500, ERROR, "500"),
    "503 of upstream": (script(reply(503)), "", 503, ERROR, "503", 503, ERROR, "503"),
    "closed before head": (
        quit_after_head, "", 502, ERROR, "connection_reset", None, ERROR, "connection_reset",
    ),
    "reset before head": (
        reset_after_head, "", 502, ERROR, "connection_reset", None, ERROR, "connection_reset",
    ),
    "closed in the head": (
        once(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n"), "", 502, ERROR, "connection_reset", None, ERROR,
        "connection_reset",
    ),
    "truncated body": (
        once(HALF), "", 0, ERROR, "response_truncated", 200, ERROR, "response_truncated",
    ),
    "truncated chunks": (
        once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha"), "",
        0, ERROR, "response_truncated", 200, ERROR, "response_truncated",
    ),
    "malformed chunks": (
        once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "",
        502, ERROR, "response_truncated", 200, ERROR, "response_truncated",
    ),
    "malformed chunks after good ones": (
        once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n"), "",
        502, ERROR, "response_truncated", 200, ERROR, "response_truncated",
    ),
    "bad response": (
        once(b"HELLO\r\n\r\n"), "", 502, ERROR, "bad_response", None, ERROR, "bad_response",
    ),
    "first byte timeout": (
        silent, "first_byte_timeout = '100ms'", 504, ERROR, "timeout", None, ERROR, "timeout",
    ),
    "total timeout": (
        silent, "timeout = '100ms'", 504, ERROR, "timeout", None, ERROR, "timeout",
    ),
    "total timeout in the body": (
        stalled(HALF), "timeout = '500ms'", 0, ERROR, "timeout", 200, ERROR, "timeout",
    ),
    "idle in the body": (
        stalled(HALF), "idle_timeout = '500ms'", 0, ERROR, "timeout", 200, ERROR, "timeout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_spans_tell_how_it_went(situation: str) -> None:
    handler, route, status, code, error, inner, inner_code, inner_error = SITUATIONS[situation]
    async with Backend(handler) as backend, gateway(routes(backend, route=route)) as gate:
        got = await gate.exchange(b"GET /a/b?q=1 HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        seen = await trace(gate)
        await eventually(lambda: is_settled(gate))
    check_shape(seen)
    (client,) = seen.clients
    about, tried = seen.about, seen.tried[0]
    assert int(got.split()[1]) == (status or 200)
    assert (seen.server.name, client.name) == ("GET /*", "GET /*")
    assert about["http.response.status_code"] == (status or 200)
    assert (seen.server.status.code, about.get("error.type")) == (code, error)
    assert (client.status.code, tried.get("error.type")) == (inner_code, inner_error)
    assert tried.get("http.response.status_code") == inner
    assert "http.request.resend_count" not in tried
    # a message where the status code does not say it all, as conventions have it
    assert bool(seen.server.status.message) == bool(error and not error.isdigit())
    assert bool(client.status.message) == bool(inner_error and not inner_error.isdigit())


async def test_every_attribute_of_an_ordinary_request() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        port = client.writer.get_extra_info("sockname")[1]
        await ask(
            client,
            "GET",
            "/a%62/c?q=1&sig=secret",
            "User-Agent: test/1",
            "X-Forwarded-For: 192.0.2.7",
            "X-Forwarded-Proto: https",
        )
        await client.close()
        seen = await trace(gate)
    about, tried = seen.about, seen.tried[0]
    phases = [
        about.pop(f"spangate.phase.{n}_ms") for n in ("queue", "connect", "first_byte", "overhead")
    ]
    assert all(isinstance(p, float) for p in phases)
    assert about == {
        "http.request.method": "GET",
        "url.scheme": "https",
        "url.path": "/ab/c",
        "url.query": "q=1&sig=REDACTED",
        "http.route": "/*",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "server.address": "gateway.test",
        "client.address": "192.0.2.7",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": port,
        "user_agent.original": "test/1",
        "spangate.route": "all",
    }
    assert tried == {
        "http.request.method": "GET",
        "url.full": f"http://127.0.0.1:{backend.port}/ab/c?q=1&sig=REDACTED",
        "url.template": "/*",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": backend.port,
        "server.address": "127.0.0.1",
        "server.port": backend.port,
        "peer.service": "b",
        "spangate.upstream": "b",
    }


async def test_labels_and_captured_headers_are_attributes() -> None:
    captured = 'request_headers = ["X-Team"]\nresponse_headers = ["X-Cache"]'
    more = f'[tracing]\n{captured}\n[labels]\nzone = "a"'
    route = 'labels = { tier = "gold" }'
    answers = script(reply(200, b"", "X-Cache: hit", "X-Other: 1"))
    async with Backend(answers) as backend, gateway(routes(backend, more, route)) as gate:
        await gate.get("/x", "X-Team: shop", "X-Not: listed")
        seen = await trace(gate)
    assert seen.about["http.request.header.x-team"] == ["shop"]
    assert seen.about["http.response.header.x-cache"] == ["hit"]
    assert [k for k in seen.about if ".header." in k] == [
        "http.request.header.x-team",
        "http.response.header.x-cache",
    ]
    assert (seen.about["zone"], seen.about["tier"]) == ("a", "gold")
    assert (seen.tried[0]["zone"], seen.tried[0]["tier"]) == ("a", "gold")


async def test_a_template_names_both_spans_and_a_rewrite_the_inner_one() -> None:
    config = """
[[route]]
path = "/api/{id}/items"
to = "b"
[[route]]
path = "/v1/{id}"
rewrite = { path = "/v2/{id}/all" }
to = "b"
"""
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, config)) as gate:
        await gate.get("/api/7/items")
        await gate.get("/v1/8")
        first, second = await traces(gate, 2)
    assert (first.server.name, first.clients[0].name) == ("GET /api/{id}/items",) * 2
    assert (first.about["http.route"], first.about["url.path"]) == (
        "/api/{id}/items",
        "/api/7/items",
    )
    assert (second.server.name, second.clients[0].name) == ("GET /v1/{id}", "GET /v2/{id}/all")
    assert second.tried[0]["url.full"] == f"{backend.url}/v2/8/all"


OVERRIDE = {"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET, PROPFIND,Brew"}

# method, is it known, and is it where the environment has the list
METHODS = [
    ("GET", True, True),
    ("PATCH", True, False),
    ("QUERY", True, False),  # RFC 10008
    ("BREW", False, False),
    ("Brew", False, True),
    ("PROPFIND", False, True),  # RFC 4918
    ("REPORT", False, False),
    ("get", False, False),  # methods are case-sensitive, RFC 9110 §9.1
    ("_OTHER", False, False),
]


@pytest.mark.parametrize("overridden", [False, True])
@pytest.mark.parametrize(("method", "known", "known_then"), METHODS)
async def test_an_unknown_method_is_other(
    method: str, known: bool, known_then: bool, overridden: bool
) -> None:
    environ = OVERRIDE if overridden else {}
    async with Backend() as backend, gateway(routes(backend), **environ) as gate:
        wire = f"{method} /x HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n".encode()
        answer = await gate.exchange(wire)
        seen = await trace(gate)
        counted = dict(next(iter(series(gate, "http.server.request.duration"))))
        logged = attributes(gate.recorded.logs[0])
    assert b" 200 " in answer and backend.heads[0].startswith(wire[: len(method) + 3])
    is_known = known_then if overridden else known
    name = f"{method if is_known else 'HTTP'} /*"
    assert (seen.server.name, seen.clients[0].name) == (name, name)
    for about in (seen.about, seen.tried[0], logged):
        assert about["http.request.method"] == (method if is_known else "_OTHER")
        assert about.get("http.request.method_original") == (None if is_known else method)
    assert counted["http.request.method"] == (method if is_known else "_OTHER")
    assert "http.request.method_original" not in counted


@pytest.mark.parametrize("asked", ["1.0", "1.1"])
@pytest.mark.parametrize("answered", ["1.0", "1.1"])
async def test_each_hop_has_the_version_that_was_spoken_on_it(asked: str, answered: str) -> None:
    told = f"HTTP/{answered} 200 OK\r\nContent-Length: 2\r\n\r\nok".encode()
    async with Backend(script(told)) as backend, gateway(routes(backend)) as gate:
        wire = f"GET /x HTTP/{asked}\r\nHost: g\r\nConnection: close\r\n\r\n"
        await gate.exchange(wire.encode())
        seen = await trace(gate)
        counted = dict(next(iter(series(gate, "http.client.request.duration"))))
    assert seen.about["network.protocol.version"] == asked
    assert seen.tried[0]["network.protocol.version"] == answered
    assert counted["network.protocol.version"] == answered


# failures before there is a connection

UNREACHABLE = {
    "refused": (refusing, 503, "connection_refused"),
    "connect timeout": (blackhole, 504, "connect_timeout"),
}


@pytest.mark.parametrize("why", UNREACHABLE)
async def test_an_upstream_that_cannot_be_reached(why: str) -> None:
    server, status, error = UNREACHABLE[why]
    route = '[[route]]\nto = "b"\nconnect_timeout = "100ms"'
    with server() as url:
        async with gateway(routing({"b": [url]}, route)) as gate:
            answer = await gate.get("/x")
            seen = await trace(gate)
            await eventually(lambda: is_settled(gate))
    check_shape(seen)
    assert (answer.status, seen.about["http.response.status_code"]) == (status, status)
    assert (seen.server.status.code, seen.about["error.type"]) == (ERROR, error)
    assert (seen.clients[0].status.code, seen.tried[0]["error.type"]) == (ERROR, error)
    assert "http.response.status_code" not in seen.tried[0]
    assert "network.peer.address" not in seen.tried[0]
    assert "spangate.phase.first_byte_ms" not in seen.about


# what the gateway answers itself


async def test_a_request_without_route_has_a_span_without_route() -> None:
    config = '[[route]]\nhost = "other.test"\nto = "http://127.0.0.1:1"'
    async with gateway(routing({}, config)) as gate:
        answer = await gate.get("/secret/path")
        seen = await trace(gate)
    assert answer.status == 404 and not seen.clients
    check_shape(seen)
    assert (seen.server.name, seen.server.status.code) == ("GET", UNSET)
    assert seen.about["http.response.status_code"] == 404
    assert "http.route" not in seen.about and "error.type" not in seen.about


async def test_answers_of_the_gateways_own_have_one_span() -> None:
    config = """
[[route]]
path = "/pong"
respond = { status = 200, body = "pong" }
[[route]]
path = "/broken"
respond = { status = 500 }
[[route]]
path = "/moved"
redirect = { to = "https://example.com/new", status = 301 }
"""
    expected = {"/pong": (200, UNSET), "/broken": (500, ERROR), "/moved": (301, UNSET)}
    async with gateway(routing({}, config)) as gate:
        for path in expected:
            await gate.get(path, SAMPLED)
        found = await traces(gate, 3)
    for seen, (path, (status, code)) in zip(found, expected.items(), strict=True):
        check_shape(seen)
        assert not seen.clients and seen.server.parent_span_id.hex() == PARENT
        assert seen.server.name == f"GET {path}"
        assert (seen.about["http.response.status_code"], seen.server.status.code) == (status, code)
        assert seen.about.get("error.type") == (None if code == UNSET else str(status))


# clients that leave


async def left(gate: Gateway, handler: Gate, read_head: bool) -> Trace:
    client = await gate.connect()
    send(client, "GET", "/x")
    await handler.reached.wait()
    if read_head:
        await client.head()
    client.vanish()
    await asyncio.wait_for(handler.gone.wait(), 20)
    return await trace(gate)


async def test_a_client_that_leaves_while_it_waits_is_no_error() -> None:
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        seen = await left(gate, handler, read_head=False)
    check_shape(seen)
    for span, about in ((seen.server, seen.about), (seen.clients[0], seen.tried[0])):
        assert span.status.code == UNSET
        assert about["spangate.client_gone"] is True
        assert "error.type" not in about and "http.response.status_code" not in about


async def test_a_client_that_leaves_while_the_body_streams_is_no_error() -> None:
    handler = Gate(HALF, b"")
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        seen = await left(gate, handler, read_head=True)
    check_shape(seen)
    for span, about in ((seen.server, seen.about), (seen.clients[0], seen.tried[0])):
        assert span.status.code == UNSET
        assert about["spangate.client_gone"] is True
        assert about["http.response.status_code"] == 200
        assert "error.type" not in about
