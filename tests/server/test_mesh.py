"""The two sides of a sidecar: what its application is asked, and what it asks others."""

from __future__ import annotations

import json

import pytest

from tests.harness import Backend
from tests.ports import free_port
from tests.server.kit import CLIENT, SERVER, attributes, eventually_collected, reply, script, series
from tests.server.sidecar_kit import PARENT, TRACE, TRACEPARENT, sidecar


async def test_inbound_has_a_server_span_and_a_client_span_to_the_application() -> None:
    async with Backend() as app, sidecar(app) as side:
        answer = await side.ask("inbound", "/orders/7", "orders", TRACEPARENT)
        assert answer.status == 200
        server, client = sorted(await side.spans(2), key=lambda s: s.kind)
        assert (server.kind, client.kind) == (SERVER, CLIENT)
        assert server.trace_id.hex() == client.trace_id.hex() == TRACE
        assert server.parent_span_id.hex() == PARENT
        assert client.parent_span_id == server.span_id
        assert app.field("traceparent") == f"00-{TRACE}-{client.span_id.hex()}-01"
        assert app.field("host") == "orders"
        about = attributes(client)
        assert about["server.port"] == app.port and about["peer.service"] == "orders"


async def test_outbound_has_one_client_span_that_is_a_child_of_what_the_application_said() -> None:
    async with Backend() as app, Backend() as other, sidecar(app) as side:
        host = f"127.0.0.1:{other.port}"
        answer = await side.ask("outbound", "/users/1?a=b", host, TRACEPARENT)
        assert answer.status == 200
        (client,) = await side.spans(1)
        assert client.kind == CLIENT
        assert client.trace_id.hex() == TRACE and client.parent_span_id.hex() == PARENT
        assert client.flags & 0x300 == 0x300  # the parent is known, and remote
        about = attributes(client)
        assert about["url.full"] == f"http://{host}/users/1?a=b"
        assert about["server.address"] == "127.0.0.1" and about["server.port"] == other.port
        assert about["spangate.upstream"] == "passthrough" and "peer.service" not in about
        assert other.field("traceparent") == f"00-{TRACE}-{client.span_id.hex()}-01"
        assert not app.peers


async def test_a_call_has_an_access_record_that_leads_to_its_span() -> None:
    more = "[access_log]\nstdout = true\n"
    async with Backend() as app, Backend() as other, sidecar(app, more) as side:
        host = f"127.0.0.1:{other.port}"
        await side.ask("outbound", "/users/1?sig=secret", host, TRACEPARENT)
        (client,) = await side.spans(1)
        recorded = side.gate.recorded
        await eventually_collected(side.gate, lambda: recorded.logs and recorded.lines)
        (record,), (line,) = recorded.logs, [json.loads(line) for line in recorded.lines]
        assert (record.trace_id, record.span_id) == (client.trace_id, client.span_id)
        assert attributes(record)["url.query"] == "sig=REDACTED"
        assert (line["trace_id"], line["span_id"]) == (TRACE, client.span_id.hex())
        assert line["route"] == "outbound" and line["upstream"] == "passthrough"
        assert line["status"] == 200 and line["path"] == "/users/1"
        assert not series(side.gate, "http.server.request.duration")


async def test_a_call_has_none_where_nobody_wants_one() -> None:
    more = "[access_log]\nstdout = false\notlp = false\n"
    async with Backend() as app, Backend() as other, sidecar(app, more) as side:
        await side.ask("outbound", "/", f"127.0.0.1:{other.port}")
        await side.spans(1)
        await side.gate.recorded.collect()
        assert not side.gate.recorded.logs and not side.gate.recorded.lines


async def test_a_call_without_context_begins_a_trace_with_its_client_span() -> None:
    async with Backend() as app, Backend() as other, sidecar(app) as side:
        await side.ask("outbound", "/", f"127.0.0.1:{other.port}")
        (client,) = await side.spans(1)
        assert client.kind == CLIENT and not client.parent_span_id
        assert other.field("traceparent", 0).split("-")[1:3] == [
            client.trace_id.hex(),
            client.span_id.hex(),
        ]


async def test_a_call_leaves_as_the_application_has_sent_it() -> None:
    async with Backend() as app, Backend() as other, sidecar(app) as side:
        host = f"127.0.0.1:{other.port}"
        said = ("X-Forwarded-For: 10.9.8.7", "Via: 1.1 theirs", "X-Request-Id: mine", "X-Own: 1")
        await side.ask("outbound", "/", host, *said, "Forwarded: for=10.9.8.7", TRACEPARENT)
        (head,) = other.heads
        lines = {line.lower() for line in head.decode().split("\r\n")[1:] if line}
        (parent,) = [line for line in lines if line.startswith("traceparent")]
        assert lines - {parent} == {
            f"host: {host}",
            *(line.lower() for line in said),
            "forwarded: for=10.9.8.7",
        }


async def test_a_call_that_is_sent_as_to_a_proxy_goes_where_its_target_says() -> None:
    """RFC 9112 §3.2.2: Host is ignored and written anew, and the connection goes on."""
    async with Backend() as app, Backend() as other, sidecar(app) as side:
        host = f"127.0.0.1:{other.port}"
        client = await side.connect("outbound")
        for path in ("/1", "/2"):
            client.write(f"GET http://{host}{path} HTTP/1.1\r\nHost: else.test\r\n\r\n".encode())
            assert (await client.answer()).status == 200
            assert other.field("host") == host
        assert [head.split()[1] for head in other.heads] == [b"/1", b"/2"]
        assert not app.peers
        spans = await side.spans(2)
        assert {attributes(span)["server.port"] for span in spans} == {other.port}


async def test_what_others_send_must_not_name_two_hosts() -> None:
    """Somebody before it may have gone by the other one, as before a gateway."""
    async with Backend() as app, sidecar(app) as side:
        answer = await side.ask("inbound", "http://orders/x", "else.test")
        assert answer.status == 400
        assert not app.peers


async def test_each_try_has_a_span_and_they_are_siblings() -> None:
    async with Backend() as app, Backend(script(reply(503), reply(200))) as users:
        more = f"""
[upstream.users]
servers = ["{users.url}"]
retry = {{ times = 1, on = [503], backoff = "1ms" }}
"""
        async with sidecar(app, more) as side:
            answer = await side.ask("outbound", "/", "users", TRACEPARENT)
            assert answer.status == 200
            first, second = sorted(await side.spans(2), key=lambda s: s.start_time_unix_nano)
            for span in (first, second):
                assert span.kind == CLIENT and span.parent_span_id.hex() == PARENT
                assert attributes(span)["spangate.upstream"] == "users"
            assert attributes(second)["http.request.resend_count"] == 1


async def test_what_the_sidecar_answers_itself_has_a_server_span() -> None:
    more = """
[[route]]
path = "/here"
respond = "by the sidecar"
"""
    async with Backend() as app, sidecar(app, more) as side:
        answer = await side.ask("outbound", "/here", "anything", TRACEPARENT)
        assert answer.body == b"by the sidecar"
        (server,) = await side.spans(1)
        assert server.kind == SERVER and server.parent_span_id.hex() == PARENT
        # the same path, asked from outside, is the application's
        assert (await side.ask("inbound", "/here", "orders")).body == b"ok"


async def test_nobody_is_there_to_answer() -> None:
    port = free_port()
    async with Backend() as app, sidecar(app) as side:
        answer = await side.ask("outbound", "/", f"127.0.0.1:{port}", TRACEPARENT)
        assert answer.status == 503
        server, client = sorted(await side.spans(2), key=lambda s: s.kind)
        assert server.parent_span_id.hex() == PARENT and client.parent_span_id == server.span_id
        assert attributes(client)["error.type"] == "connection_refused"


async def test_routes_of_the_file_are_for_what_the_application_calls() -> None:
    async with Backend() as app, Backend() as users, Backend() as special:
        more = f"""
[upstream.users]
servers = ["{users.url}"]
[upstream.special]
servers = ["{special.url}"]
[[route]]
host = "users"
path = "/special"
to = "special"
"""
        async with sidecar(app, more) as side:
            await side.ask("outbound", "/", "users")
            await side.ask("outbound", "/", "Users:8080")
            await side.ask("outbound", "/special", "users")
            await side.ask("inbound", "/special", "users")
            assert [len(b.heads) for b in (users, special, app)] == [2, 1, 1]


_SELF = (
    "127.0.0.1",
    "localhost",
    "[::1]",
    "any.test",
    "0.0.0.0",
    "[::ffff:127.0.0.1]",
    "127.9.9.9",
)
# Spellings of an address that only some resolvers know.
_ODD = ("127.1", "0x7f.1", "2130706433", "0")


_PEERS = 'identity = { ca = "files:///nowhere" }\npeers = ["127.0.0.0/8", "::/0"]'


@pytest.mark.parametrize("mesh", ["", _PEERS])
async def test_a_loop_is_refused(mesh: str) -> None:
    async with Backend() as app, sidecar(app, mesh=mesh) as side:
        for port in (side.inbound, side.outbound):
            for host in (*_SELF, *_ODD):
                answer = await side.ask("outbound", "/", f"{host}:{port}")
                assert answer.status == 508 or (host in _ODD and answer.status == 400), host
        for host in _ODD:
            assert (await side.ask("outbound", "/", f"{host}:9")).status == 400, host
        assert not app.peers


async def test_traces_go_on_from_sidecar_to_sidecar_without_a_second_span() -> None:
    async with Backend() as other, sidecar(other) as callee:
        more = f"""
[upstream.users]
servers = ["http://127.0.0.1:{callee.inbound}"]
"""
        async with Backend() as app, sidecar(app, more) as caller:
            await caller.ask("outbound", "/", "users", TRACEPARENT)
            (out,) = await caller.spans(1)
            server, client = sorted(await callee.spans(2), key=lambda s: s.kind)
            assert server.parent_span_id == out.span_id
            assert client.parent_span_id == server.span_id
            assert {s.trace_id.hex() for s in (out, server, client)} == {TRACE}
