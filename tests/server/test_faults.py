"""Why an upstream's answer was refused: on the spans, in the access record and in the log."""

from __future__ import annotations

import json
import logging

import pytest

from proxy.errors import BadResponse, ConnectRefused
from proxy.server.faults import Faults
from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import ask, attributes, reply, request, routing, script, traces
from tests.server.upstream_rows import ABC, CHUNKED, answered

LINES = "[access_log]\nstdout = true\n"

# What the upstream says before it closes, and a part of the reason that is told of it.
REASONS = {
    "a blank before the colon": (answered(b"x-id : 1", b"Content-Length: 0"), "line 2, 'x-id '"),
    "a head of 64 KiB": (answered(b"X-A: " + b"a" * 65_536), "larger than 65536 bytes"),
    "two lengths": (answered(b"Content-Length: 2", b"Content-Length: 3", body=b"ok"), "Duplicate"),
    "an odd length": (answered(b"Content-Length: 0x2", body=b"ok"), "Content-Length"),
    "101 unasked": (
        answered(b"Connection: upgrade", b"Upgrade: x", status=b"HTTP/1.1 101 S"),
        "without being asked",
    ),
    "101 to nothing": (answered(status=b"HTTP/1.1 101 S"), "without saying to which"),
    "another coding": (answered(b"Transfer-Encoding: gzip, chunked", body=ABC), "coding"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer in HTTP/1"),
    "LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "bare CR or LF"),
    "a status": (answered(status=b"HTTP/1.1 600 x"), "600"),
    "interim answers": (answered(status=b"HTTP/1.1 103 E") * 33, "32 interim"),
    "nothing": (b"", "closed the connection before any answer"),
    "half a head": (b"HTTP/1.1 200 OK\r\nX-A", "in the middle of its answer's head"),
    "hostile bytes": (
        answered(b"\x1b[2J\xff\r: b", b"Content-Length: 0"),
        r"'\x1b[2J\xff\r'",
    ),
    "a folded value": (
        answered(b"X-Key: top", b" secret: value", b"Content-Length: 0"),
        "line 3, which is folded",
    ),
    "no colon": (answered(b"secret", b"Content-Length: 0"), "in line 2"),
    "a control byte": (answered(b"X-Key: secret\0", b"Content-Length: 0"), "line 2, 'X-Key'"),
    "a chunk size": (CHUNKED + b"zz\r\n", "not a hexadecimal number"),
    "a long chunk": (CHUNKED + b"1\r\nabc\r\n", "longer than its size"),
    "a trailer": (CHUNKED + b"0\r\na b: c\r\n\r\n", "no header field"),
    "a short body": (answered(b"Content-Length: 9", body=b"abc"), "6 bytes before the end"),
    "no last chunk": (CHUNKED + b"1\r\na\r\n", "before the last chunk"),
}


@pytest.mark.parametrize(("said", "reason"), REASONS.values(), ids=REASONS.keys())
async def test_the_reason_is_on_spans_and_in_the_access_record(
    said: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(peer: Peer) -> None:
        await request(peer)
        peer.write(said)

    async with Backend(handler) as backend, gateway(routes(backend, LINES)) as gate:
        client = await gate.connect()
        client.write(b"GET /x HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        await client.read_all()
        (seen,) = await traces(gate)
        (line,) = gate.recorded.lines
        (record,) = gate.recorded.logs
    told = json.loads(line)["error_message"]
    assert reason in told and told.isprintable() and len(told) < 200
    assert "secret" not in told
    assert seen.server.status.message == seen.clients[0].status.message == told
    assert attributes(record)["spangate.error.message"] == told
    (logged,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert told in logged and "upstream b" in logged and f"127.0.0.1:{backend.port}" in logged


async def test_a_try_that_was_refused_keeps_its_reason_when_the_next_one_is_well() -> None:
    answers = script(answered(b"x-id : 1", b"Content-Length: 0"), OK)
    more = "retry = { times = 1, on = [502], backoff = '1ms' }"
    async with Backend(answers) as backend:
        config = routing({"b": [backend.url]}, f"{LINES}[[route]]\nto = 'b'\n{more}")
        async with gateway(config) as gate:
            assert (await gate.get("/x")).status == 200
            (seen,) = await traces(gate)
            (line,) = gate.recorded.lines
    assert ["x-id" in c.status.message for c in seen.clients] == [True, False]
    assert seen.server.status.message == json.loads(line)["error_message"] == ""


async def test_a_status_that_says_it_all_has_no_message() -> None:
    """HTTP conventions: no description where the reason can be inferred from the status code."""
    async with Backend(script(reply(500))) as backend, gateway(routes(backend)) as gate:
        assert (await gate.get("/x")).status == 500
        (seen,) = await traces(gate)
    assert (seen.server.status.code, seen.server.status.message) == (2, "")
    assert seen.clients[0].status.message == ""


async def test_fifty_bad_answers_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async with Backend(script(b"HELLO\r\n\r\n")) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(50):
            assert (await ask(client, "GET", "/x")).status == 502
    assert len([r for r in caplog.records if "bad answer" in r.getMessage()]) == 1


def test_what_was_not_said_is_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    second = 1_000_000_000
    for now in range(3):
        faults.tell("a", "h:1", BadResponse(f"reason {now}"), now)
    faults.tell("b", "h:2", BadResponse("another"), 0)
    faults.tell("c", "h:3", ConnectRefused("is no answer"), 0)
    faults.sum_up(9 * second)
    lines = [r.getMessage() for r in caplog.records]
    assert lines == [
        "upstream a: bad answer of h:1: reason 0",
        "upstream b: bad answer of h:2: another",
    ]
    faults.sum_up(10 * second)
    (summary,) = [r.getMessage() for r in caplog.records][2:]
    assert summary == "upstream a: 2 more bad answers in 10 s, the last of h:1: reason 2"
    faults.sum_up(30 * second)  # nothing came after it
    faults.tell("a", "h:1", BadResponse("again"), 30 * second)
    assert len(caplog.records) == 4
