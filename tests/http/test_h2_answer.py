"""Heads of HTTP/2 towards upstreams: what becomes of a request's lines, and of an answer's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadResponse, ClientError
from proxy.http import h2
from proxy.http.edits import WANTS_TRAILERS, Edits
from proxy.http.encode import encode_response
from proxy.http.h2_answer import (
    informational_head,
    request_fields,
    response_head,
)
from proxy.http.h2_request import trailer_fields, trailers_of
from proxy.http.head import Pair, RequestHead
from proxy.kernel.tokens import is_value
from tests.http.h2_frames import (
    END_HEADERS,
    END_STREAM,
    GET,
    HEADERS,
    SETTINGS,
    feed,
    frame,
    literal,
)
from tests.http.h2_frames import Pair as Sessions
from tests.http.test_framing_rules import request

PSEUDO = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a.test"), (b":path", b"/")]


def sent(head: RequestHead, edits: Edits | None = None, more: object = ()) -> list[tuple[str, str]]:
    edits = edits or Edits("/", "a.test")
    fields = request_fields(head, edits, list(more), b"http")  # type: ignore[call-overload]
    assert fields[:4] == [(b":method", head.method.encode()), *PSEUDO[1:]]
    return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in fields[4:]]


@pytest.mark.parametrize(
    ("fields", "length", "method", "expected"),
    [
        ({}, 0, "GET", []),
        ({"X-Upper": "As It Is"}, 0, "GET", [("x-upper", "As It Is")]),
        ({"x-a": " b\t"}, 0, "GET", [("x-a", "b")]),
        ({"x_a": "b", "X-8": "\xe9"}, 0, "GET", [("x_a", "b"), ("x-8", "\xe9")]),
        ({"host": "other.test"}, 0, "GET", []),
        ({"connection": "close", "keep-alive": "5", "upgrade": "x"}, 0, "GET", []),
        ({"transfer-encoding": "chunked"}, None, "POST", []),
        ({"te": "gzip", "trailer": "x", "proxy-authorization": "x"}, 0, "GET", []),
        ({"http2-settings": "AAMAAABkAAQAAP__"}, 0, "GET", []),
        ({"content-length": "3"}, 3, "POST", [("content-length", "3")]),
        ({"content-length": "003"}, 3, "POST", [("content-length", "3")]),
        ({"content-length": "0"}, 0, "POST", [("content-length", "0")]),
        ({"cookie": "a=1; b=2"}, 0, "GET", [("cookie", "a=1; b=2")]),
        ({"x-a": "1", "X-A": "2"}, 0, "GET", [("x-a", "1"), ("x-a", "2")]),
    ],
)
def test_a_request(
    fields: dict[str, str], length: int | None, method: str, expected: list[tuple[str, str]]
) -> None:
    head = request(fields, method)
    head.length = length
    assert sent(head) == expected


def test_edits_and_the_lines_of_this_try() -> None:
    edits = Edits("/p?q", "b.test:81")
    edits.remove(frozenset({b"x-gone"}))
    edits.add(b"via", b"1.1 us")
    edits.add(b"connection", b"x-a")  # no edit of ours, but if it were
    edits.wants = WANTS_TRAILERS
    head = request({"X-Gone": "1", "x-stays": "2"}, "PUT")
    fields = request_fields(head, edits, [(b"traceparent", b"00-1")], b"https")
    assert fields == [
        (b":method", b"PUT"),
        (b":scheme", b"https"),
        (b":authority", b"b.test:81"),
        (b":path", b"/p?q"),
        (b"x-stays", b"2"),
        (b"via", b"1.1 us"),
        (b"traceparent", b"00-1"),
        (b"te", b"trailers"),
    ]


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0b", "a\x7f", "\x01", "a\vb"])
def test_what_the_engine_would_send_as_it_is_never_leaves(value: str) -> None:
    with pytest.raises(ClientError) as caught:
        sent(request({"x-a": value}))
    assert caught.value.status == 400


# answers


def answered(*fields: tuple[str, str], status: str = "200") -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b":status", status.encode()),
        *((n.encode("latin-1"), v.encode("latin-1")) for n, v in fields),
    )


@pytest.mark.parametrize(
    ("fields", "method", "ended", "length"),
    [
        (answered(), "GET", True, 0),
        (answered(), "GET", False, None),
        (answered(("content-length", "3")), "GET", False, 3),
        (answered(("content-length", "3")), "HEAD", True, 0),
        (answered(("content-length", "0")), "GET", True, 0),
        (answered(status="204"), "GET", True, 0),
        (answered(("content-length", "9"), status="304"), "GET", True, 0),
    ],
)
def test_an_answer(
    fields: tuple[tuple[bytes, bytes], ...], method: str, ended: bool, length: int
) -> None:
    head = response_head(fields, method, ended)
    assert (head.version, head.length, head.keep_alive) == ("2", length, True)


def test_an_answer_as_http_1_1_says_it() -> None:
    head = response_head(
        answered(
            ("date", "today"), ("set-cookie", "a"), ("x-request-id", "1"), ("set-cookie", "b")
        ),
        "GET",
        ended=False,
    )
    assert head.dated
    assert head.get(b"x-request-id") == b"1"
    assert encode_response(head) == (
        b"HTTP/1.1 200 OK\r\ndate: today\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("fields", "ended"),
    [
        ((), True),
        (((b"a", b"b"),), True),
        (answered(status="20"), True),
        (answered(status="2000"), True),
        (answered(status="600"), True),
        (answered(status="099"), True),
        (answered(status="2\xb2\xb2"), True),
        (answered(status="+20"), True),
        (answered(("connection", "close")), True),
        (answered(("keep-alive", "1")), True),
        (answered(("proxy-connection", "1")), True),
        (answered(("transfer-encoding", "chunked")), True),
        (answered(("upgrade", "x")), True),
        (answered(("content-length", "1")), True),
        (answered(("content-length", "1"), ("content-length", "1")), False),
        (answered(("content-length", "+1")), False),
        (answered(*[("x", "a" * 1000)] * 66), True),
    ],
)
def test_no_answer(fields: tuple[tuple[bytes, bytes], ...], ended: bool) -> None:
    with pytest.raises(BadResponse):
        response_head(fields, "GET", ended)


def test_interim_answers() -> None:
    assert informational_head(answered(("link", "</a>"), status="103")).get(b"link") == b"</a>"
    with pytest.raises(BadResponse, match="101"):
        informational_head(answered(status="101"))


# trailers


def test_trailers_both_ways() -> None:
    came = answered(("grpc-status", "0"), ("content-length", "3"), ("te", "x"), ("x-sum", "1"))
    assert trailers_of(came[1:]) == ((b"grpc-status", b"0"), (b"x-sum", b"1"))
    assert trailer_fields(
        (
            (b"X-Sum", b" 1"),
            (b"Host", b"x"),
            (b":path", b"/"),
            (b"connection", b"x"),
            (b"x", b"a\r"),
        )
    ) == [(b"x-sum", b"1")]


# whatever it is: what the engine of a server gets is a request, and nothing else

NAMES = st.from_regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", fullmatch=True).filter(
    lambda n: n.lower() not in (b"cookie", b"host")
)
VALUES = st.from_regex(rb"[\t\x20-\x7e\x80-\xff]*", fullmatch=True)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.sampled_from([0, None]))
def test_the_other_end_takes_what_was_checked(
    lines: list[tuple[bytes, bytes]], length: int | None
) -> None:
    head = RequestHead()
    head.method = "POST"
    head.length = length
    for name, value in lines:
        head.receive(name, value)
    fields = request_fields(head, Edits("/", "a.test"), [], b"http")
    pair = Sessions()
    pair.ask(fields, end=True)
    (got,) = [e for e in pair.at_server if hasattr(e, "headers")]
    assert list(got.headers) == fields


@pytest.mark.parametrize(
    "name_and_value",
    [(b"X-a", b"b"), (b"x-a", b" b"), (b"x-a", b"b\t"), (b"", b"b"), (b"x a", b"b")],
)
def test_lines_that_are_not_checked_again_cannot_come(name_and_value: Pair) -> None:
    """What `as_they_came` goes by: neither a request nor an answer with such a line is told."""
    assert told_of(name_and_value) == []


def test_values_that_are_not_checked_again() -> None:
    for byte in range(256):
        value = b"a" + bytes([byte]) + b"b"
        assert told_of((b"x-a", value)) == ([value] * 2 if is_value(value) else []), value


def told_of(line: Pair) -> list[bytes]:
    """The value, once for a request and once for an answer that the engine lets in with it."""
    server, client = h2.Session(True, h2.Rules()), h2.Session(False, h2.Rules())
    feed(server, h2.PREFACE + frame(SETTINGS, 0, 0))
    feed(client, frame(SETTINGS, 0, 0))
    client.send_request([*GET], True)
    while client.take():
        pass
    both = ((server, [*GET, line]), (client, [(b":status", b"200"), line]))
    found = []
    for session, fields in both:
        events = feed(session, frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(fields)))
        found += [event.headers[-1][1] for event in events if hasattr(event, "headers")]
    return found


def test_lines_that_nobody_may_index_reach_a_client_of_http_1_1() -> None:
    """RFC 7541 §7.1.3: the engine gives them out as another type than the rest."""
    session = h2.Session(False, h2.Rules())
    feed(session, frame(SETTINGS, 0, 0))
    session.send_request([(b":method", b"GET"), *GET[1:]], True)
    while session.take():
        pass
    block = literal([(b":status", b"200"), (b"set-cookie", b"a=b")], b"\x10")
    events = feed(session, frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    (answer,) = [event for event in events if isinstance(event, h2.ResponseReceived)]
    head = response_head(answer.headers, "GET", True)
    assert b"set-cookie: a=b\r\n" in encode_response(head)
