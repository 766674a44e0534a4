from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from proxy.config.model import Config
from proxy.telemetry.facts import Exchange
from proxy.telemetry.people import WHOLE, Look

from .exchanges import (
    MS,
    SERVER,
    TRACE,
    WALL,
    answered,
    attributes,
    exchange,
    kept,
    record,
    recorder,
)


def line(made: Exchange) -> dict[str, object]:
    by = recorder()
    by.finish(made)
    lines = kept(by).lines.take()[0]
    assert lines.count(b"\n") == 1
    assert lines.endswith(b"\n")
    found: dict[str, object] = json.loads(lines)
    return found


def test_a_line_says_all_there_is_to_say() -> None:
    made = answered(200, query="a=1&sig=x", body_in=5, body_out=901, request_id=b"r-1")

    assert line(made) == {
        "time": "2026-09-21T14:13:20.123Z",
        "method": "GET",
        "path": "/api/orders/42",
        "query": "a=1&sig=REDACTED",
        "status": 200,
        "duration_ms": 20.0,
        "route": "orders",
        "upstream": "orders",
        "endpoint": "orders.internal:8000",
        "attempts": 1,
        "bytes_in": 5,
        "bytes_out": 901,
        "client": "192.0.2.7",
        "host": "shop.example",
        "user_agent": "curl/8.5",
        "request_id": "r-1",
        "trace_id": TRACE.decode(),
        "span_id": SERVER.decode(),
        "sampled": True,
        "error": "",
        "error_message": "",
        "labels": {"team": "shop"},
    }


def test_every_line_has_the_same_keys() -> None:
    bare = line(exchange(404, route=None, trace_id=b"", span_id=b"", sampled=False))

    assert bare.keys() == line(answered(200)).keys()
    assert (bare["route"], bare["upstream"], bare["attempts"]) == ("", "", 0)
    assert (bare["labels"], bare["trace_id"], bare["sampled"]) == ({}, "", False)


@pytest.mark.parametrize(
    ("made", "status", "error"),
    [
        (exchange(0, client_gone=True), 499, "client_gone"),
        (answered(200, client_gone=True), 200, "client_gone"),
        (answered(404), 404, ""),
        (answered(500), 500, "500"),
        (exchange(503, error="no_endpoint"), 503, "no_endpoint"),
    ],
)
def test_status_and_error(made: Exchange, status: int, error: str) -> None:
    found = line(made)

    assert (found["status"], found["error"]) == (status, error)


def text(made: Exchange, look: Look = WHOLE) -> str:
    """Its line for people, without the end."""
    by = recorder()
    by.configure(Config(), json=False, look=look)
    by.finish(made)
    line = kept(by).lines.take()[0]
    assert line.endswith(b"\n") and line.isascii()
    return line[:-1].decode()


def text_line(made: Exchange, look: Look = WHOLE) -> list[str]:
    """The columns of a line for people, but for the time of day."""
    line = text(made, look)
    assert line.isprintable()
    time, *columns = line.split("  ")
    assert re.fullmatch(r"\d\d:\d\d:20\.123", time)
    return columns


def test_a_line_for_people_leaves_out_what_there_is_not() -> None:
    asked, trace = "shop.example/api/orders/42", TRACE.decode()

    assert text_line(answered(200, query="a=1&sig=x")) == [
        "200", "GET", f"{asked}?a=1&sig=REDACTED", "20.0 ms", "orders",
        "orders orders.internal:8000", trace,
    ]  # fmt: skip
    assert text_line(exchange(503, error="no_endpoint")) == [
        "503", "GET", asked, "20.0 ms", "no_endpoint", "orders", trace
    ]  # fmt: skip
    assert text_line(exchange(0, client_gone=True)) == [
        "499", "GET", asked, "20.0 ms", "client_gone", "orders", trace
    ]  # fmt: skip
    assert text_line(exchange(404, route=None, trace_id=b"", sampled=False)) == [
        "404", "GET", asked, "20.0 ms"
    ]  # fmt: skip


def test_a_terminal_gets_the_beginning_of_the_trace_id() -> None:
    whole, short = text_line(answered(200)), text_line(answered(200), Look(short=True))
    assert short[:-1] == whole[:-1]
    assert (short[-1], len(short[-1])) == (whole[-1][:8], 8)


@pytest.mark.parametrize(
    ("made", "painted"),
    [
        (answered(200), "\x1b[32m200\x1b[0m"),
        (answered(302), "\x1b[36m302\x1b[0m"),
        (answered(404), "\x1b[33m404\x1b[0m"),
        (answered(500), "\x1b[1;31m500\x1b[0m"),
        (exchange(503, error="no_endpoint"), "\x1b[1;31mno_endpoint\x1b[0m"),
        (exchange(0, client_gone=True), "\x1b[1;31m499\x1b[0m"),
    ],
)
def test_colours_say_the_class_of_the_status(made: Exchange, painted: str) -> None:
    line = text(made, Look(short=True, colour=True))
    assert painted in line
    assert re.sub(r"\x1b\[[\d;]+m", "", line).split("  ")[1:] == text_line(made, Look(short=True))


@given(st.binary(), st.text(), st.booleans())
@settings(deadline=None)
def test_no_client_can_act_on_the_terminal_that_lines_are_read_on(
    raw: bytes, said: str, colour: bool
) -> None:
    made = answered(200, host=said, path=said, query=said, method=raw.decode("latin-1"))
    line = text(made, Look(colour=colour))
    ours = re.sub(r"\x1b\[(?:0|1|2|32|34|36)m", "", line) if colour else line
    assert ours.isprintable()


def test_seconds_change() -> None:
    by = recorder()
    for wall in (WALL, WALL + 1000 * MS, WALL + 1001 * MS):
        made = answered(200)
        made.wall_ns = wall
        by.finish(made)

    assert [json.loads(row)["time"] for row in kept(by).lines.take()[0].splitlines()] == [
        "2026-09-21T14:13:20.123Z",
        "2026-09-21T14:13:21.123Z",
        "2026-09-21T14:13:21.124Z",
    ]


def test_an_otlp_record_belongs_to_its_span() -> None:
    made = answered(200, query="a=1&sig=x", body_in=5, body_out=901, request_id=b"r-1")
    found = record(made)

    assert found.trace_id == bytes.fromhex(TRACE.decode())
    assert found.span_id == bytes.fromhex(SERVER.decode())
    assert found.flags == 3
    assert (found.time_unix_nano, found.observed_time_unix_nano) == (WALL, WALL + 20 * MS)
    assert found.event_name == "http.server.request"
    assert found.body.string_value == "GET /api/orders/{id} 200"
    assert attributes(found) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/api/orders/42",
        "url.query": "a=1&sig=REDACTED",
        "http.route": "/api/orders/{id}",
        "http.response.status_code": 200,
        "http.request.body.size": 5,
        "http.response.body.size": 901,
        "network.protocol.version": "1.1",
        "server.address": "shop.example",
        "server.port": 8080,
        "client.address": "192.0.2.7",
        "network.peer.address": "10.0.0.9",
        "network.peer.port": 43210,
        "user_agent.original": "curl/8.5",
        "spangate.route": "orders",
        "spangate.upstream": "orders",
        "spangate.endpoint": "orders.internal:8000",
        "spangate.attempts": 1,
        "spangate.duration_ms": 20.0,
        "spangate.request_id": "r-1",
        "team": "shop",
    }


def test_an_unknown_method_is_told_apart() -> None:
    found = attributes(record(answered(200, method="BREW")))

    assert found["http.request.method"] == "_OTHER"
    assert found["http.request.method_original"] == "BREW"


def test_a_record_of_an_untraced_request_points_to_no_trace() -> None:
    found = record(answered(200, trace_id=b"", span_id=b"", sampled=False))

    assert (found.trace_id, found.span_id, found.flags) == (b"", b"", 0)


@pytest.mark.parametrize(
    ("made", "severity", "text"),
    [
        (answered(200), SeverityNumber.SEVERITY_NUMBER_INFO, "INFO"),
        (answered(404), SeverityNumber.SEVERITY_NUMBER_WARN, "WARN"),
        (exchange(0, client_gone=True), SeverityNumber.SEVERITY_NUMBER_WARN, "WARN"),
        (answered(500), SeverityNumber.SEVERITY_NUMBER_ERROR, "ERROR"),
        (exchange(0, error="timeout"), SeverityNumber.SEVERITY_NUMBER_ERROR, "ERROR"),
    ],
)
def test_severity(made: Exchange, severity: int, text: str) -> None:
    found = record(made)

    assert (found.severity_number, found.severity_text) == (severity, text)


TEXT = st.text(st.characters(), max_size=60) | st.sampled_from(
    ["\ud800", '"\\\n\r\x1b[31m\x7f\x00', "€" * 5000, "\u2028"]
)
BYTES = st.binary(max_size=60) | st.just(b"\xff\xfe" * 4000)


@settings(deadline=None)  # a busy machine is not a failure
@given(TEXT, TEXT, BYTES, TEXT, BYTES)
def test_nothing_that_a_client_sends_breaks_a_record(
    path: str, query: str, agent: bytes, host: str, request_id: bytes
) -> None:
    made = answered(200, path=path, query=query, user_agent=agent, host=host, client=host,
                    method=host or "GET", request_id=request_id)  # fmt: skip
    by = recorder()
    by.finish(made)
    raw = kept(by).lines.take()[0]

    assert raw.count(b"\n") == 1
    assert all(0x20 <= byte < 0x7F for byte in raw[:-1])
    assert json.loads(raw)["path"].encode("utf-8") is not None  # no lone surrogates
    attributes(record(made))
