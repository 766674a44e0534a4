"""What every answer has, whoever made it and however the request ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import pytest

from tests.harness import Answer, Backend, Client, Gateway, Peer, gateway
from tests.server.kit import reply, request, script, traces

CONFIG = """
listen = [{ address = ":8080", trust = ["127.0.0.1/32"] }]
[access_log]
stdout = true
[tracing]
response_header = "X-Trace-Id"
response_headers = CAPTURED
[limits]
head_bytes = "4KiB"
request_line = "1KiB"
[export]
otlp = "http://127.0.0.1:1"
[[route]]
path = "/fixed"
respond = { status = 200, body = "ok", headers = { X-Gone = "1", Retry-After = "5" } }
EDITS
[[route]]
path = "/empty"
respond = { status = 204 }
EDITS
[[route]]
path = "/moved"
redirect = { to = "/new", status = 307 }
EDITS
[[route]]
path = "/nowhere"
to = "http://x.invalid:80"
EDITS
[[route]]
path = "/*"
when.method = ["GET", "HEAD", "POST", "OPTIONS", "TRACE"]
to = "b"
body_limit = "10B"
first_byte_timeout = "1s"
idle_timeout = "1s"
EDITS
[[route]]
path = "/slashes/*"
to = "b"
encoded_slash = "reject"
EDITS
[upstream.b]
servers = ["URL"]
"""
CAPTURED = [
    "x-cors",
    "content-type",
    "location",
    "x-gone",
    "date",
    "retry-after",
    "x-request-id",
    "content-length",
    "allow",
]
EDITS = 'headers.response = { set = { X-Cors = "*" }, remove = ["x-gone"] }'
ROUTED = ["x-trace-id", "x-request-id", "date", "x-cors"]
GLOBAL = ["x-trace-id", "x-request-id", "date"]


@dataclass
class Case:
    """One way in which an answer comes to be; `refused`: it never became a request."""

    asked: bytes
    status: int
    routed: bool = True
    refused: bool = False


def get(path: str, *lines: str, method: str = "GET") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: h.test", *lines, "", ""]
    return "\r\n".join(head).encode()


CASES = {
    "of an upstream": Case(get("/x"), 200),
    "of an upstream, to HEAD": Case(get("/x", method="HEAD"), 200),
    "of an upstream, an error": Case(get("/500"), 500),
    "fixed": Case(get("/fixed"), 200),
    "fixed, to HEAD": Case(get("/fixed", method="HEAD"), 200),
    "without a body": Case(get("/empty"), 204),
    "a redirect": Case(get("/moved"), 307),
    "no route": Case(get("/x"), 404, routed=False),
    "TRACE": Case(get("/x", method="TRACE"), 405),
    "TRACE, no route": Case(get("/x", method="TRACE"), 405, routed=False),
    "OPTIONS, no hops left": Case(get("/x", "Max-Forwards: 0", method="OPTIONS"), 200),
    "OPTIONS *": Case(get("*", method="OPTIONS"), 200, routed=False),
    "a wrong method": Case(get("/x", method="PUT"), 405),
    "an encoded slash": Case(get("/slashes/a%2Fb"), 400, routed=False),
    "too large": Case(get("/x", "Content-Length: 11", method="POST"), 413),
    "a malformed body": Case(
        get("/x", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n", 400
    ),
    "a body that stops": Case(get("/x", "Content-Length: 5", method="POST"), 408),
    "closed": Case(get("/closed"), 502),
    "nonsense": Case(get("/nonsense"), 502),
    "no such name": Case(get("/nowhere"), 503),
    "silent": Case(get("/silent"), 504),
    "in circles": Case(get("/x", "Via: " + ", ".join(["1.1 spangate"] * 10)), 508),
    "a malformed head": Case(get("/x", "a b: c"), 400, routed=False, refused=True),
    "a path that climbs": Case(get("/../.."), 400, routed=False, refused=True),
    "a long line": Case(get("/" + "x" * 2000), 414, routed=False, refused=True),
    "an unknown expectation": Case(get("/x", "Expect: more"), 417, routed=False, refused=True),
    "a large head": Case(get("/x", "a: " + "x" * 5000), 431, routed=False, refused=True),
    "CONNECT": Case(get("h.test:80", method="CONNECT"), 405, routed=False, refused=True),
    "another version": Case(
        get("/x").replace(b"HTTP/1.1", b"HTTP/3.0"), 505, routed=False, refused=True
    ),
}


async def serve(peer: Peer) -> None:
    """A backend that does what the path says."""
    while True:
        head, _ = await request(peer)
        path = head.split()[1]
        if path == b"/closed":
            return
        if path == b"/nonsense":
            peer.write(b"HELLO\r\n\r\n")
        elif path == b"/500":
            peer.write(reply(500, b"no", "X-Gone: 1"))
        elif path != b"/silent":
            peer.write(reply(200, b"ok", "X-Gone: 1", "X-Cors: none"))


def config(backend: Backend) -> str:
    return (
        CONFIG.replace("CAPTURED", str(CAPTURED))
        .replace("EDITS", EDITS)
        .replace("URL", backend.url)
    )


def unreachable(text: str) -> str:
    return text.replace("[[route]]", '[[route]]\nhost = "other.test"')


async def answer_to(gate: Gateway, case: Case) -> Answer:
    client: Client = await gate.connect()
    client.write(case.asked)
    answer = await client.answer(head_only=case.asked.startswith(b"HEAD "))
    await client.close()
    return answer


@pytest.mark.parametrize("kind", CASES)
async def test_an_answer_has_what_is_added_to_answers(kind: str) -> None:
    case = CASES[kind]
    async with Backend(serve) as backend:
        text = config(backend)
        if "no route" in kind:
            text = unreachable(text)
        async with gateway(text) as gate:
            answer = await answer_to(gate, case)
            names = [name for name, _ in answer.fields]
            assert answer.status == case.status
            wanted = ROUTED if case.routed else GLOBAL
            assert {n: names.count(n) for n in ROUTED} == {n: n in wanted for n in ROUTED}
            assert not case.routed or (answer["x-cors"] == "*" and "x-gone" not in names)
            assert parsedate_to_datetime(answer["date"]).year > 2020
            if not case.refused:
                await is_recorded(gate, answer)


async def is_recorded(gate: Gateway, answer: Answer) -> None:
    """The same ids are in the log, and what was sent is on the span."""
    (seen,) = await traces(gate)
    (line,) = [json.loads(line) for line in gate.recorded.lines]
    assert answer["x-trace-id"] == line["trace_id"] == seen.server.trace_id.hex()
    assert answer["x-request-id"] == line["request_id"]
    for name in CAPTURED:
        captured = seen.about.get(f"http.response.header.{name}", [])
        assert captured == ([answer[name]] if answer[name] else []), name


@pytest.mark.parametrize("path", ["/fixed", "/moved", "/closed", "/none"])
async def test_a_trusted_peers_request_id_comes_back_whoever_answers(path: str) -> None:
    async with Backend(serve) as backend, gateway(config(backend)) as gate:
        answer = await answer_to(gate, Case(get(path, "X-Request-Id: abc-1"), 0))
        await traces(gate)
    assert answer["x-request-id"] == "abc-1"
    assert json.loads(gate.recorded.lines[0])["request_id"] == "abc-1"


@pytest.mark.parametrize("kind", ["fixed", "no route", "closed", "a large head"])
async def test_without_request_ids_there_is_none(kind: str) -> None:
    async with Backend(serve) as backend:
        text = config(backend) + "[forwarding]\nrequest_id = false\n"
        if kind == "no route":
            text = unreachable(text)
        async with gateway(text.replace('"X-Trace-Id"', '""')) as gate:
            answer = await answer_to(gate, CASES[kind])
    assert answer["date"] and not answer["x-request-id"] and not answer["x-trace-id"]


OWN = '{ set = { X-Request-Id = "mine", Date = "then", X-Trace-Id = "none" } }'


@pytest.mark.parametrize("path", ["/x", "/fixed", "/closed"])
async def test_what_a_route_says_about_a_field_wins_over_what_is_added(path: str) -> None:
    async with Backend(serve) as backend:
        text = config(backend).replace(EDITS, f"headers.response = {OWN}")
        async with gateway(text) as gate:
            answer = await answer_to(gate, Case(get(path), 0))
    fields = dict(answer.fields)
    assert len(fields) == len(answer.fields)
    assert (fields["x-request-id"], fields["date"], fields["x-trace-id"]) == (
        "mine",
        "then",
        "none",
    )


async def test_a_fixed_answers_own_fields_are_not_doubled() -> None:
    route = (
        '[[route]]\nrespond = { headers = { Date = "then", X-Request-Id = "mine", '
        'x-trace-id = "none" } }\n[tracing]\nresponse_header = "x-trace-id"'
    )
    async with gateway(route) as gate:
        answer = await gate.get("/")
    fields = dict(answer.fields)
    assert len(fields) == len(answer.fields)
    assert (fields["x-request-id"], fields["date"], fields["x-trace-id"]) == (
        "mine",
        "then",
        "none",
    )


async def test_a_gateway_behind_this_one_does_not_double_the_trace_id() -> None:
    answers = script(reply(200, b"ok", "X-Trace-ID: theirs"))
    async with Backend(answers) as backend, gateway(config(backend)) as gate:
        answer = await answer_to(gate, CASES["of an upstream"])
        (seen,) = await traces(gate)
    assert answer["x-trace-id"] == seen.server.trace_id.hex()


DATED = [
    ("Date: Sun, 01 Nov 2026 10:00:00 GMT", "Sun, 01 Nov 2026 10:00:00 GMT"),
    ("DATE: Sun, 01 Nov 2026 10:00:00 GMT", "Sun, 01 Nov 2026 10:00:00 GMT"),
    ("date: whatever", "whatever"),
    ("X-Date: x", None),
    ("Date_: x", None),
]


@pytest.mark.parametrize(("line", "date"), DATED)
async def test_a_date_is_added_where_there_is_none(line: str, date: str | None) -> None:
    answers = script(reply(200, b"ok", line), reply(204, b""), reply(304, b""))
    text = '[[route]]\nto = "{}"'
    async with Backend(answers) as backend, gateway(text.format(backend.url)) as gate:
        first = await gate.get("/x")
        others = [await gate.get("/x") for _ in range(2)]
    if date is None:
        parsedate_to_datetime(first["date"])
    else:
        assert first["date"] == date
    assert all(parsedate_to_datetime(other["date"]) for other in others)


async def test_an_interim_answer_gets_nothing() -> None:
    both = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + reply()
    async with Backend(script(both)) as backend, gateway(config(backend)) as gate:
        client = await gate.connect()
        client.write(get("/x"))
        assert await client.head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        assert (await client.answer())["date"]
        await client.close()


async def test_what_was_captured_of_an_answer_that_was_never_sent_is_forgotten() -> None:
    """A head is held until something follows it, and taken back if the upstream fails first."""
    head = b"HTTP/1.1 200 OK\r\nRetry-After: 9\r\nTransfer-Encoding: chunked\r\n\r\nno size"
    async with Backend(script(head)) as backend, gateway(config(backend)) as gate:
        answer = await answer_to(gate, CASES["of an upstream"])
        await is_recorded(gate, answer)
    assert (answer.status, answer["retry-after"]) == (502, "")
