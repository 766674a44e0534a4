"""What a trace says about each way in which a request can go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import OK, Answer, Backend, Gateway, Peer, gateway, routes
from tests.server.kit import (
    CLIENT,
    ERROR,
    SERVER,
    UNSET,
    Gate,
    Trace,
    ask,
    attributes,
    blackhole,
    eventually,
    is_settled,
    refusing,
    reply,
    request,
    routing,
    script,
    send,
    trace,
    traces,
)

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = f"traceparent: 00-{TRACE_ID}-{PARENT}-01"
NOT_SAMPLED = f"traceparent: 00-{TRACE_ID}-{PARENT}-00"


def check_shape(seen: Trace) -> None:
    """What holds for every trace: ids, parents, kinds, and times inside one another."""
    server = seen.server
    ids = {server.span_id, *(c.span_id for c in seen.clients)}
    assert len(ids) == 1 + len(seen.clients) and all(len(i) == 8 and any(i) for i in ids)
    assert server.start_time_unix_nano <= server.end_time_unix_nano
    before = server.start_time_unix_nano
    for client in seen.clients:
        assert client.trace_id == server.trace_id
        assert client.parent_span_id == server.span_id
        assert before <= client.start_time_unix_nano <= client.end_time_unix_nano
        assert client.end_time_unix_nano <= server.end_time_unix_nano
        before = client.end_time_unix_nano  # attempts follow one another
    total = (server.end_time_unix_nano - server.start_time_unix_nano) / 1e6
    phases = {k: v for k, v in seen.about.items() if k.startswith("spangate.phase.")}
    assert "spangate.phase.overhead_ms" in phases
    assert all(0 <= v <= total + 1e-6 for v in phases.values()), phases
    sequential = ("queue", "connect", "first_byte")
    assert sum(phases.get(f"spangate.phase.{n}_ms", 0) for n in sequential) <= total + 1e-6


# who is whose parent


async def test_each_attempt_is_a_client_span_whose_id_its_backend_got() -> None:
    answers = script(reply(503), reply(503), reply(200))
    retrying = "retry = { times = 2, on = [503], backoff = '1ms' }"
    async with Backend(answers) as backend, gateway(routes(backend, route=retrying)) as gate:
        assert (await gate.get("/x", SAMPLED)).status == 200
        seen = await trace(gate)
    check_shape(seen)
    assert seen.server.trace_id.hex() == TRACE_ID
    assert seen.server.parent_span_id.hex() == PARENT
    told = [head.lower().split(b"traceparent: ")[1][:55].decode() for head in backend.heads]
    assert told == [f"00-{TRACE_ID}-{c.span_id.hex()}-01" for c in seen.clients]
    assert [t.get("http.request.resend_count") for t in seen.tried] == [None, 1, 2]
    assert [t.get("spangate.retry.reason") for t in seen.tried] == [None, "503", "503"]
    assert [c.status.code for c in seen.clients] == [ERROR, ERROR, UNSET]
    assert seen.server.status.code == UNSET


# formats

IN = {
    "w3c": [SAMPLED],
    "b3": [f"b3: {TRACE_ID}-{PARENT}-1"],
    "b3multi": [f"X-B3-TraceId: {TRACE_ID}", f"X-B3-SpanId: {PARENT}", "X-B3-Sampled: 1"],
}


def received(backend: Backend, out: str) -> tuple[str, str, str]:
    """(trace id, span id, sampled) as the backend was told in one format."""
    if out == "w3c":
        parts = (backend.field("traceparent") or "").split("-")
        return parts[1], parts[2], str(int(parts[3], 16) & 1)
    if out == "b3":
        trace_id, span_id, state = (backend.field("b3") or "").split("-")
        return trace_id, span_id, state
    said = [backend.field(f"x-b3-{n}") or "" for n in ("traceid", "spanid", "sampled")]
    assert backend.field("x-b3-parentspanid") is None
    return said[0], said[1], said[2]


@pytest.mark.parametrize("out", IN)
@pytest.mark.parametrize("come", IN)
async def test_any_format_comes_in_and_any_goes_out(come: str, out: str) -> None:
    formats = f'[tracing]\nextract = ["{come}"]\ninject = ["{out}"]'
    async with Backend() as backend, gateway(routes(backend, formats)) as gate:
        await gate.get("/x", *IN[come])
        seen = await trace(gate)
    assert seen.server.parent_span_id.hex() == PARENT
    assert received(backend, out) == (TRACE_ID, seen.clients[0].span_id.hex(), "1")
    for other in IN.keys() - {out}:
        name = {"w3c": "traceparent", "b3": "b3", "b3multi": "x-b3-traceid"}[other]
        assert backend.field(name) is None


async def test_the_first_valid_format_in_the_configured_order_wins_and_all_are_written() -> None:
    other = "1" * 32
    formats = '[tracing]\nextract = ["b3", "w3c"]\ninject = ["w3c", "b3", "b3multi"]'
    async with Backend() as backend, gateway(routes(backend, formats)) as gate:
        await gate.get("/x", SAMPLED, f"b3: {other}-{PARENT}-1", "b3: nonsense")
        await gate.get("/x", SAMPLED, f"b3: {other}-{PARENT}-1")
        first, second = await traces(gate, 2)
    assert first.server.trace_id.hex() == TRACE_ID  # doubled b3 is no valid one
    assert second.server.trace_id.hex() == other
    told = {received(backend, out) for out in IN}
    assert told == {(other, second.clients[0].span_id.hex(), "1")}


async def test_tracestate_is_passed_on_by_w3c_and_recorded() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/x", SAMPLED, "tracestate: a=1, b=2", "tracestate: c=3")
        seen = await trace(gate)
    assert (backend.field("tracestate") or "").replace(" ", "") == "a=1,b=2,c=3"
    assert seen.server.trace_state.replace(" ", "") == "a=1,b=2,c=3"
    assert seen.clients[0].trace_state == seen.server.trace_state


# trust


async def test_a_stranger_gets_a_new_trace_linked_to_his_own() -> None:
    stranger = "[tracing]\ntrust = []"
    async with Backend() as backend, gateway(routes(backend, stranger)) as gate:
        await gate.get("/x", NOT_SAMPLED, "tracestate: a=1", "baggage: k=v")
        seen = await trace(gate)
    check_shape(seen)
    assert seen.server.trace_id.hex() != TRACE_ID and not seen.server.parent_span_id
    (link,) = seen.server.links
    assert (link.trace_id.hex(), link.span_id.hex(), link.trace_state) == (TRACE_ID, PARENT, "a=1")
    assert received(backend, "w3c") == (
        seen.server.trace_id.hex(),
        seen.clients[0].span_id.hex(),
        "1",
    )
    assert backend.field("tracestate") is None and backend.field("baggage") is None


async def test_a_strangers_context_may_be_dropped_altogether() -> None:
    stranger = '[tracing]\ntrust = []\nuntrusted = "drop"'
    async with Backend() as backend, gateway(routes(backend, stranger)) as gate:
        await gate.get("/x", SAMPLED)
        seen = await trace(gate)
    assert seen.server.trace_id.hex() != TRACE_ID and not seen.server.links


async def test_trusted_baggage_is_passed_on_unless_configured_otherwise() -> None:
    for setting, expected in (("true", "k=v"), ("false", None)):
        more = f"[tracing]\nbaggage = {setting}"
        async with Backend() as backend, gateway(routes(backend, more)) as gate:
            await gate.get("/x", "baggage: k=v")
        assert backend.field("baggage") == expected


# sampling

SAMPLING = [
    # sampler, sample, caller, recorded
    ("parent", 1.0, None, True),
    ("parent", 0.0, None, False),
    ("parent", 0.0, SAMPLED, True),
    ("parent", 1.0, NOT_SAMPLED, False),
    ("ratio", 1.0, NOT_SAMPLED, True),
    ("ratio", 0.0, SAMPLED, False),
    ("always", 0.0, NOT_SAMPLED, True),
    ("never", 1.0, SAMPLED, False),
    ("never", 1.0, f"b3: {TRACE_ID}-{PARENT}-d", True),  # debug is an order
]


@pytest.mark.parametrize(("sampler", "sample", "caller", "recorded"), SAMPLING)
@pytest.mark.parametrize("where", ["tracing", "route"])
async def test_the_flag_sent_on_says_whether_spans_are_recorded(
    where: str, sampler: str, sample: float, caller: str | None, recorded: bool
) -> None:
    said = f'sampler = "{sampler}"\nsample = {sample}'
    more = (
        f"[tracing]\n{said}" if where == "tracing" else '[tracing]\nsampler = "ratio"\nsample = 0.5'
    )
    route = "" if where == "tracing" else f"trace = {{ {said.replace(chr(10), ', ')} }}"
    async with Backend() as backend, gateway(routes(backend, more, route)) as gate:
        await gate.get("/x", *([caller] if caller else []))
        await gate.recorded.collect()
    assert len(gate.recorded.spans) == (2 if recorded else 0)
    assert received(backend, "w3c")[2] == ("1" if recorded else "0")
    assert backend.field("traceparent") is not None  # the trace goes on even unrecorded


UNTRACED_CALLERS = [
    None,
    SAMPLED,
    NOT_SAMPLED,
    f"b3: {TRACE_ID}-{PARENT}-d",
    "b3: d",
    "X-B3-Flags: 1",
]


@pytest.mark.parametrize("caller", UNTRACED_CALLERS)
async def test_an_untraced_path_is_never_traced_whoever_asks(caller: str | None) -> None:
    more = '[tracing]\nuntraced = ["/healthz"]\ninject = ["w3c", "b3"]'
    always = 'trace = { sampler = "always" }'
    async with Backend() as backend, gateway(routes(backend, more, always)) as gate:
        await gate.get("/healthz", *([caller] if caller else []))
        await gate.get("/healthz/not", *([caller] if caller else []))
        await gate.recorded.collect()
    assert [attributes(s)["url.path"] for s in gate.recorded.spans if s.kind == SERVER] == [
        "/healthz/not"
    ]
    sampled = [h.lower().split(b"traceparent: ")[1][53:55] for h in backend.heads]
    assert [int(flags, 16) & 1 for flags in sampled] == [0, 1]
    assert b"-0\r\n" in backend.heads[0].split(b"b3: ")[1]


# names, attributes and statuses of everything that can happen


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
        stalled(HALF), "timeout = '100ms'", 0, ERROR, "timeout", 200, ERROR, "timeout",
    ),
    "idle in the body": (
        stalled(HALF), "idle_timeout = '100ms'", 0, ERROR, "timeout", 200, ERROR, "timeout",
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
    assert not seen.server.status.message and not client.status.message


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


async def test_an_unknown_method_is_other() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        answer = await gate.exchange(b"BREW /x HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        seen = await trace(gate)
    assert b" 200 " in answer and backend.heads[0].startswith(b"BREW /x ")
    assert (seen.server.name, seen.clients[0].name) == ("HTTP /*", "HTTP /*")
    for about in (seen.about, seen.tried[0]):
        assert about["http.request.method"] == "_OTHER"
        assert about["http.request.method_original"] == "BREW"


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
    await client.close()
    await asyncio.wait_for(handler.gone.wait(), 10)
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


# time


async def test_both_spans_end_with_the_body_and_not_with_the_head() -> None:
    handler = Gate(HALF, b"longer")
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await client.head()
        await gate.recorded.collect()
        assert gate.recorded.spans == []
        before = time.time_ns()
        handler.go.set()
        assert await client.reader.readexactly(10) == b"halflonger"
        await client.close()
        seen = await trace(gate)
    check_shape(seen)
    for span in (seen.server, seen.clients[0]):
        assert span.start_time_unix_nano < before < span.end_time_unix_nano


async def test_waiting_for_the_upstream_is_not_called_the_gateways_own_time() -> None:
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await handler.reached.wait()
        before = time.monotonic_ns()
        await asyncio.sleep(0.02)  # time to account for, not to wait for anything
        waited = (time.monotonic_ns() - before) / 1e6
        handler.go.set()
        await client.answer()
        await client.close()
        seen = await trace(gate)
    total = (seen.server.end_time_unix_nano - seen.server.start_time_unix_nano) / 1e6
    own, first_byte = (seen.about[f"spangate.phase.{n}_ms"] for n in ("overhead", "first_byte"))
    assert isinstance(first_byte, float) and isinstance(own, float)
    assert first_byte >= waited
    assert own <= total - waited + 1e-6


async def test_a_warm_connection_costs_no_connecting() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/1")
        await gate.get("/2")
        cold, warm = await traces(gate, 2)
    assert cold.about["spangate.phase.connect_ms"] > 0
    assert warm.about["spangate.phase.connect_ms"] == 0
    assert len(backend.peers) == 1


async def test_spans_of_one_connection_do_not_mix() -> None:
    """Pipelined requests on one connection: each has its own trace, and its parent's."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for i in range(3):
            send(client, "GET", f"/{i}", f"traceparent: 00-{i + 1:032x}-{i + 1:016x}-01")
        answers: list[Answer] = [await client.answer() for _ in range(3)]
        await client.close()
        found = await traces(gate, 3)
    assert [a.status for a in answers] == [200] * 3
    assert [int(t.server.trace_id.hex(), 16) for t in found] == [1, 2, 3]
    assert [int(t.server.parent_span_id.hex(), 16) for t in found] == [1, 2, 3]
    assert all(c.kind == CLIENT for t in found for c in t.clients)
