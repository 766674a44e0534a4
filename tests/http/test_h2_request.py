"""A stream's field lines as a request, and an answer's head as field lines: what passes and how."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ClientError
from proxy.http import h2
from proxy.http.edits import NO_EDITS, Edits
from proxy.http.encode import encode_request
from proxy.http.framing import frame_upload
from proxy.http.h2 import Rules, Session
from proxy.http.h2_request import (
    answer_fields,
    informational_fields,
    request_head,
    trailer_fields,
    trailers_of,
)
from proxy.http.head import Pair, RequestHead, ResponseHead, made_response
from proxy.http.receive import check_underscores
from proxy.http.target import Authorities
from tests.http.h2_frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    SETTINGS,
    feed,
    frame,
    literal,
)


@dataclass(frozen=True)
class Limits:
    request_line: int = 8 * 1024
    head_bytes: int = 64 * 1024
    head_fields: int = 100


class Snapshot:
    limits = Limits()

    def underscores(self, head: RequestHead) -> None:
        check_underscores("reject", head)


def lines(
    *more: Pair,
    method: bytes = b"GET",
    path: bytes = b"/",
    authority: bytes = b"a.test",
    scheme: bytes = b"http",
) -> list[Pair]:
    named = [(b":method", method), (b":scheme", scheme), (b":authority", authority)]
    return [*named, (b":path", path), *more]


def without(name: bytes, *more: Pair) -> list[Pair]:
    return [pair for pair in lines(*more) if pair[0] != name]


def received(fields: list[Pair], end: bool = True) -> RequestHead | str:
    """What becomes of these lines on the wire: a head, a status, or "reset" by the engine."""
    session = Session(True, Rules(connect_protocol=True))
    feed(session, h2.PREFACE + frame(SETTINGS, 0, 0))
    block = literal(fields)
    flags = END_STREAM if end else 0
    data = b""
    while len(block) > 16_000:
        kind = CONTINUATION if data else HEADERS
        data += frame(kind, flags if not data else 0, 1, block[:16_000])
        block = block[16_000:]
    if data:
        data += frame(CONTINUATION, END_HEADERS, 1, block)
    else:
        data = frame(HEADERS, END_HEADERS | flags, 1, block)
    events = feed(session, data)
    while session.take():
        pass  # a reset is told when it was sent
    for event in events + session.events():
        if isinstance(event, h2.RequestReceived):
            try:
                return request_head(event.headers, event.end_stream, Snapshot(), Authorities())
            except ClientError as error:
                return str(error.status)
        if isinstance(event, h2.StreamClosed):
            return "reset"
        if isinstance(event, h2.ConnectionClosed):
            return "closed"
    return "nothing"


REFUSED: dict[str, tuple[list[Pair], str]] = {
    "no method": (without(b":method"), "reset"),
    "no path": (without(b":path"), "reset"),
    "no scheme": (without(b":scheme"), "reset"),
    "no authority and no host": (without(b":authority"), "reset"),
    "two paths": (lines((b":path", b"/b")), "reset"),
    "an unknown pseudo-header field": (lines((b":foo", b"/b")), "reset"),
    "a late pseudo-header field": ([*without(b":path"), (b"a", b"b"), (b":path", b"/")], "reset"),
    "a pseudo-header field of answers": (lines((b":status", b"200")), "reset"),
    "a method with a space": (lines(method=b"GET / HTTP/1.1"), "reset"),
    "an empty method": (lines(method=b""), "reset"),
    "a method that is no token": (lines(method=b"G(T"), "reset"),
    "an empty path": (lines(path=b""), "reset"),
    "a path without a slash": (lines(path=b"foo"), "reset"),
    "a path with a space": (lines(path=b"/a b"), "reset"),
    "a path with CR LF": (lines(path=b"/a\r\nb: c"), "reset"),
    "a path of *": (lines(path=b"*"), "reset"),
    "a path with a fragment": (lines(path=b"/a#b"), "400"),
    "a query with a fragment": (lines(path=b"/a?b#c"), "400"),
    "a path beyond ASCII": (lines(path=b"/\xc3\xa4"), "400"),
    "a path that leaves the root": (lines(path=b"/../a"), "400"),
    "a path with an encoded NUL": (lines(path=b"/%00"), "400"),
    "a path too long": (lines(path=b"/" + b"x" * 9000), "414"),
    "a foreign scheme": (lines(scheme=b"ftp"), "400"),
    "a scheme that smuggles": (lines(scheme=b"http://x/?"), "reset"),
    "an authority with user information": (lines(authority=b"u@a"), "reset"),
    "an authority with a slash": (lines(authority=b"a/b"), "reset"),
    "an empty authority": (lines(authority=b""), "reset"),
    "two authorities": (lines(authority=b"a,b"), "400"),
    "an authority with an impossible port": (lines(authority=b"a:99999"), "400"),
    "another host": (lines((b"host", b"b.test")), "400"),
    "two hosts": (without(b":authority", (b"host", b"a"), (b"host", b"a")), "reset"),
    "an upper-case name": (lines((b"X-A", b"b")), "reset"),
    "an empty name": (lines((b"", b"b")), "reset"),
    "a name with a space": (lines((b"a b", b"b")), "reset"),
    "a name with a colon": (lines((b"a:b", b"b")), "reset"),
    "a name with brackets": (lines((b"a[b", b"b")), "reset"),
    "a name beyond ASCII": (lines((b"a\xff", b"b")), "reset"),
    "a value with CR LF": (lines((b"a", b"b\r\nc: d")), "reset"),
    "a value with NUL": (lines((b"a", b"b\0")), "reset"),
    "a value with a control character": (lines((b"a", b"b\x07")), "reset"),
    "a value with a blank at its end": (lines((b"a", b"b ")), "reset"),
    "Connection": (lines((b"connection", b"close")), "reset"),
    "Keep-Alive": (lines((b"keep-alive", b"5")), "reset"),
    "Proxy-Connection": (lines((b"proxy-connection", b"close")), "reset"),
    "Transfer-Encoding": (lines((b"transfer-encoding", b"chunked")), "reset"),
    "Upgrade": (lines((b"upgrade", b"h2c")), "reset"),
    "TE other than trailers": (lines((b"te", b"gzip")), "reset"),
    "Content-Length with a sign": (lines((b"content-length", b"+0")), "reset"),
    "Content-Length twice": (lines((b"content-length", b"0"), (b"content-length", b"0")), "reset"),
    "Content-Length and no body": (lines((b"content-length", b"3"), method=b"POST"), "reset"),
    "an unknown expectation": (lines((b"expect", b"200-maybe")), "417"),
    "an underscore, where they are rejected": (lines((b"x_a", b"b")), "400"),
    "too many fields": (lines(*[(b"x%d" % n, b"") for n in range(100)]), "431"),
    "too many bytes": (lines(*[(b"x%d" % n, b"v" * 3000) for n in range(25)]), "431"),
    "too many bytes of cookies": (lines(*[(b"cookie", b"v" * 3000) for n in range(25)]), "431"),
    "far too many bytes": (lines(*[(b"x%d" % n, b"v" * 3000) for n in range(60)]), "closed"),
    "CONNECT without a port": ([(b":method", b"CONNECT"), (b":authority", b"a")], "400"),
    "CONNECT with a path": (lines(method=b"CONNECT"), "reset"),
    "CONNECT with an unknown protocol": (
        [*lines(method=b"CONNECT"), (b":protocol", b"connect-udp")],
        "501",
    ),
    "a protocol without CONNECT": ([*lines(), (b":protocol", b"websocket")], "reset"),
}


@pytest.mark.parametrize(("fields", "outcome"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(fields: list[Pair], outcome: str) -> None:
    # before an ordinary field: pseudo-header fields come first
    special = [pair for pair in fields if pair[0] == b":protocol"]
    rest = [pair for pair in fields if pair[0] != b":protocol"]
    assert received([*rest[:4], *special, *rest[4:]] if special else fields) == outcome


def accepted(fields: list[Pair], end: bool = True) -> RequestHead:
    head = received(fields, end)
    assert isinstance(head, RequestHead), head
    return head


def test_what_a_request_is_made_of() -> None:
    head = accepted(lines((b"x-a", b"1"), (b"te", b"trailers"), path=b"/a/./b?q=1"))
    assert (head.method, head.path, head.query, head.authority) == ("GET", "/a/b", "q=1", "a.test")
    assert (head.version, head.length, head.protocol) == ("2", 0, "")
    assert head.get(b"x-a") == b"1"
    assert head.field(b"te") == b"trailers"
    assert list(head) == [(b"x-a", b"1")]


def test_the_host_field_is_enough_and_may_say_the_same() -> None:
    assert accepted(without(b":authority", (b"host", b"A.test"))).authority == "a.test"
    assert accepted(lines((b"host", b"A.TEST"))).authority == "a.test"


def test_methods_are_tokens_of_any_kind() -> None:
    assert accepted(lines(method=b"get")).method == "get"
    assert accepted(lines(method=b"M-SEARCH")).method == "M-SEARCH"
    assert accepted(lines(method=b"OPTIONS", path=b"*")).path == "*"


def test_crumbs_of_cookies_are_one_field() -> None:
    crumbs = [(b"cookie", b"c%d=1" % n) for n in range(150)]
    head = accepted(lines((b"x-a", b"1"), *crumbs, (b"x-b", b"2")))
    (name, value) = list(head)[1]
    assert name == b"cookie"
    assert value.split(b"; ") == [crumb[1] for crumb in crumbs]


@pytest.mark.parametrize(
    ("method", "more", "end", "length", "framing"),
    [
        (b"GET", [], True, 0, b""),
        (b"POST", [], True, 0, b"content-length: 0\r\n"),
        (b"DELETE", [], True, 0, b""),
        (b"POST", [], False, None, b"transfer-encoding: chunked\r\n"),
        (b"GET", [], False, None, b"transfer-encoding: chunked\r\n"),
        (b"POST", [(b"content-length", b"7")], False, 7, b"content-length: 7\r\n"),
        (b"POST", [(b"content-length", b"0")], True, 0, b"content-length: 0\r\n"),
    ],
)
def test_lengths(
    method: bytes, more: list[Pair], end: bool, length: int | None, framing: bytes
) -> None:
    head = accepted(lines(*more, method=method), end)
    assert head.length == length
    assert frame_upload(head, NO_EDITS) == framing


def test_an_extended_connect_asks_for_a_tunnel() -> None:
    fields = lines((b"sec-websocket-version", b"13"), method=b"CONNECT")
    head = accepted([*fields[:4], (b":protocol", b"websocket"), *fields[4:]], end=False)
    assert (head.method, head.protocol, head.path, head.length) == ("GET", "websocket", "/", 0)


def test_connect_is_for_the_route_to_judge() -> None:
    head = accepted([(b":method", b"CONNECT"), (b":authority", b"a.test:1")], end=False)
    assert (head.method, head.protocol, head.authority, head.length) == (
        "CONNECT",
        "",
        "a.test:1",
        0,
    )


FIELD = st.tuples(st.binary(max_size=12), st.binary(max_size=20))


@given(st.lists(FIELD, max_size=6), st.binary(max_size=20), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_line_of_http_1_is_made_of_anything_else(
    more: list[Pair], path: bytes, end: bool
) -> None:
    """Whatever a peer sends: what is forwarded over HTTP/1.1 has the lines that it should have."""
    fields = lines(*more, path=b"/" + path)
    head = received(fields, end)
    if isinstance(head, str):
        return
    wire = encode_request(head, Edits(head.path + head.tail, head.authority), [], b"")
    assert wire.endswith(b"\r\n\r\n")
    heads = wire[:-4].split(b"\r\n")
    assert len(heads) == 2 + len(list(head))
    assert heads[0].count(b" ") == 2
    assert b"\r" not in b"".join(heads) and b"\n" not in b"".join(heads)


# answers


def answer(*pairs: Pair, status: int = 200, length: int | None = 5) -> ResponseHead:
    return made_response(status, list(pairs), length)  # type: ignore[arg-type]


def asked(method: str) -> RequestHead:
    head = RequestHead()
    head.method = method
    return head


def test_an_answer_in_lines() -> None:
    edits = Edits()
    edits.remove(frozenset({b"x-gone"}))
    edits.add(b"X-New", b"1")
    edits.add(b"Connection", b"close")
    head = answer((b"X-Gone", b"1"), (b"Server", b" a "), (b"Keep-Alive", b"5"))
    assert answer_fields(head, edits, [(b"date", b"now")], asked("GET")) == [
        (b":status", b"200"),
        (b"server", b"a"),
        (b"x-new", b"1"),
        (b"date", b"now"),
        (b"content-length", b"5"),
    ]


@pytest.mark.parametrize(
    ("method", "status", "length", "declared", "said"),
    [
        ("GET", 200, 5, b"", b"5"),
        ("GET", 200, None, b"", None),
        ("HEAD", 200, 0, b"9", b"9"),
        ("HEAD", 200, 0, b"", None),
        ("GET", 204, 0, b"", None),
        ("GET", 304, 0, b"9", b"9"),
        ("GET", 101, None, b"", None),
    ],
)
def test_the_length_of_an_answer(
    method: str, status: int, length: int | None, declared: bytes, said: bytes | None
) -> None:
    head = made_response(status, [], length, declared)  # type: ignore[arg-type]
    fields = dict(answer_fields(head, NO_EDITS, [], asked(method)))
    assert fields.get(b"content-length") == said
    assert fields[b":status"] == (b"200" if status == 101 else b"%d" % status)


def test_a_granted_tunnel_is_a_200_without_the_answer_to_a_key() -> None:
    head = answer((b"Sec-WebSocket-Accept", b"x"), (b"a", b"b"), status=101, length=None)
    assert answer_fields(head, NO_EDITS, [], asked("GET")) == [(b":status", b"200"), (b"a", b"b")]


@given(st.lists(FIELD, max_size=6), st.lists(FIELD, max_size=3))
@settings(max_examples=200, deadline=None)
def test_no_line_break_goes_out(pairs: list[Pair], more: list[Pair]) -> None:
    head = answer(*pairs)
    for fields in (
        answer_fields(head, NO_EDITS, more, asked("GET")),
        informational_fields(answer(*pairs, status=103)),
        trailer_fields(tuple(pairs)),
    ):
        text = b"".join([name + value for name, value in fields])
        assert not set(text) & {0, 10, 13}


def test_trailers_that_may_not_be_any() -> None:
    came = [(b"x-sum", b"1"), (b"content-length", b"9"), (b"te", b"trailers"), (b"host", b"a")]
    assert trailers_of(came) == ((b"x-sum", b"1"),)
    assert trailer_fields(((b"X-Sum", b" 1"), (b":status", b"1"), (b"Connection", b"a"))) == [
        (b"x-sum", b"1")
    ]


def test_lines_that_nobody_may_index_are_lines_like_others() -> None:
    """They come as another type, which what writes HTTP/1.1 does not take."""
    session = Session(True, Rules())
    feed(session, h2.PREFACE + frame(SETTINGS, 0, 0))
    block = literal(lines((b"authorization", b"a"), (b"cookie", b"b"), (b"x_y", b"c")), b"\x10")
    data = frame(HEADERS, END_HEADERS, 1, block)
    trailers = literal([(b"x-sum", b"1")], b"\x10")
    events = feed(session, data + frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers))
    came = next(event for event in events if isinstance(event, h2.RequestReceived))
    rules = Snapshot()
    rules.underscores = lambda head: None  # type: ignore[method-assign]
    head = request_head(came.headers, False, rules, Authorities())
    assert {type(pair) for pair in head} == {tuple}
    assert encode_request(head, Edits("/", "a"), [], b"").endswith(b"x_y: c\r\n\r\n")
    ended = next(event for event in events if isinstance(event, h2.TrailersReceived))
    assert {type(pair) for pair in trailers_of(ended.headers)} == {tuple}
