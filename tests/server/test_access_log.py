"""One record for each request: a line of JSON on stdout, and an OTLP log record."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from tests.harness import Backend, Gateway, gateway, routes
from tests.server.kit import Gate, ask, attributes, eventually_collected, routing, send, traces

STDOUT = "[access_log]\nstdout = true"


async def written(gate: Gateway, number: int) -> list[dict[str, Any]]:
    """The lines, once there are so many."""
    await eventually_collected(gate, lambda: len(gate.recorded.lines) >= number)
    assert all(line.isascii() for line in gate.recorded.lines)
    return [json.loads(line) for line in gate.recorded.lines]


async def test_a_line_tells_what_was_asked_and_what_became_of_it() -> None:
    async with Backend() as backend, gateway(routes(backend, STDOUT)) as gate:
        client = await gate.connect()
        await ask(
            client, "POST", "/a%62?q=1&sig=secret", "User-Agent: test/1", "X-Request-Id: mine",
            "X-Forwarded-For: 192.0.2.7", body=b"hello",
        )  # fmt: skip
        await client.close()
        (line,) = await written(gate, 1)
        (seen,) = await traces(gate)
    duration = line.pop("duration_ms")
    server = seen.server
    took = (server.end_time_unix_nano - server.start_time_unix_nano) / 1e6
    assert abs(duration - took) < 0.001
    assert line.pop("time").endswith("Z")
    assert line == {
        "method": "POST",
        "path": "/ab",
        "query": "q=1&sig=REDACTED",
        "route": "all",
        "status": 200,
        "error": "",
        "error_message": "",
        "labels": {},
        "upstream": "b",
        "endpoint": f"127.0.0.1:{backend.port}",
        "attempts": 1,
        "bytes_in": 5,
        "bytes_out": 2,
        "client": "192.0.2.7",
        "host": "gateway.test",
        "user_agent": "test/1",
        "request_id": "mine",
        "trace_id": server.trace_id.hex(),
        "span_id": server.span_id.hex(),
        "sampled": True,
    }


async def test_lines_of_requests_that_went_otherwise() -> None:
    handler = Gate(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"")
    config = """
[access_log]
stdout = true
[[route]]
path = "/slow"
to = "b"
[[route]]
path = "/down"
to = "http://127.0.0.1:1"
[[route]]
path = "/pong"
respond = { body = "pong" }
"""
    async with Backend(handler) as backend, gateway(routing({"b": [backend.url]}, config)) as gate:
        for path in ("/pong", "/nowhere", "/down"):
            await gate.get(
                path, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
            )
        client = await gate.connect()
        send(client, "GET", "/slow")
        await client.head()
        client.vanish()
        lines = await written(gate, 4)
    told = [(x["path"], x["status"], x["error"], x["attempts"]) for x in lines]
    assert told == [
        ("/pong", 200, "", 0),
        ("/nowhere", 404, "", 0),
        ("/down", 503, "connection_refused", 1),
        ("/slow", 200, "client_gone", 1),
    ]
    assert [x["sampled"] for x in lines] == [False, False, False, True]
    assert {x["trace_id"] for x in lines[:3]} == {"0af7651916cd43dd8448eb211c80319c"}
    assert all(len(x["span_id"]) == 16 for x in lines)


async def test_nothing_that_a_client_sends_breaks_a_line() -> None:
    async with Backend() as backend, gateway(routes(backend, STDOUT)) as gate:
        nasty = b'"\\\x7f\xff\xc3\xa9<script>%0a{}[],:'
        client = await gate.connect()
        client.write(
            b'GET /%22%0A?%22=%0D%0A"{} HTTP/1.1\r\nHost: g\r\n\r\n'
        )  # refused: an encoded control character in the path
        assert (await client.answer()).status == 400
        await client.close()
        client = await gate.connect()
        client.write(
            b"GET /%22?%22=%0D%0A HTTP/1.1\r\nHost: g\r\nUser-Agent: "
            + nasty.replace(b"\x7f", b"")
            + b'\r\nX-Request-Id: a"b\r\n\r\n'
        )
        assert (await client.answer()).status == 200
        await client.close()
        (line,) = await written(gate, 1)
    assert line["path"] == "/%22" and line["query"] == "%22=%0D%0A"
    assert line["request_id"] == 'a"b' and "<script>" in line["user_agent"]


@pytest.mark.parametrize("terminal", [False, True])
async def test_it_is_on_by_default_as_text_on_a_terminal_and_json_elsewhere(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/x")
        await eventually_collected(gate, lambda: len(gate.recorded.lines) == 1)
        (line,) = gate.recorded.lines
    assert line.startswith(b"{") is not terminal


async def test_the_file_can_turn_it_off() -> None:
    text = "[access_log]\nstdout = false"
    async with Backend() as backend, gateway(routes(backend, text)) as gate:
        await gate.get("/x")
        await traces(gate)
    assert gate.recorded.lines == []


@pytest.mark.parametrize("sampled", [True, False])
async def test_a_log_record_belongs_to_the_server_span(sampled: bool) -> None:
    flag = "01" if sampled else "00"
    caller = f"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flag}"
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/x?sig=secret", caller)
        await eventually_collected(gate, lambda: gate.recorded.logs)
    (record,) = gate.recorded.logs
    assert record.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert len(record.span_id) == 8 and record.flags & 1 == int(sampled)
    told = attributes(record)
    assert told["url.query"] == "sig=REDACTED" and told["http.response.status_code"] == 200
    if sampled:
        server = next(
            s for s in gate.recorded.spans if s.parent_span_id.hex() == "b7ad6b7169203331"
        )
        assert (record.trace_id, record.span_id) == (server.trace_id, server.span_id)
        assert record.time_unix_nano == server.start_time_unix_nano
        assert record.observed_time_unix_nano == server.end_time_unix_nano
    else:
        assert not gate.recorded.spans


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("[access_log]\notlp = false", 0),
        ("[access_log]\notlp = true", 3),
        ("", 3),
    ],
)
async def test_there_is_one_record_for_each_request_or_none(more: str, expected: int) -> None:
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        await asyncio.gather(*(gate.get(f"/{i}") for i in range(3)))
        await traces(gate, 3)
        assert len(gate.recorded.logs) == expected
        assert gate.worker._ring.logs.created == expected


async def test_severity_follows_the_outcome() -> None:
    config = """
[[route]]
path = "/200"
respond = { status = 200 }
[[route]]
path = "/404"
respond = { status = 404 }
[[route]]
path = "/500"
respond = { status = 500 }
"""
    async with gateway(routing({}, config)) as gate:
        for status in (200, 404, 500):
            await gate.get(f"/{status}")
        await eventually_collected(gate, lambda: len(gate.recorded.logs) == 3)
    assert [r.severity_text for r in gate.recorded.logs] == ["INFO", "WARN", "ERROR"]
    assert [r.body.string_value for r in gate.recorded.logs] == [
        "GET /200 200",
        "GET /404 404",
        "GET /500 500",
    ]
