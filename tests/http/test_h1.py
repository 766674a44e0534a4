"""Heads: read by the letter, written as given, and each read as if it were the first."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.config.model import Limits
from proxy.errors import BadRequest, BadResponse
from proxy.http.edits import NO_EDITS, Edits
from proxy.http.encode import encode_request, encode_response
from proxy.http.h1 import RequestReader, ResponseReader, check_partial, check_partial_answer
from proxy.http.head import RequestHead, ResponseHead, made_response

_TOKENS = (
    b"GET|POST|SLUDGE|CONNECT|PRI|/|/x?y|*|http://a/b|HTTP/1.1|HTTP/1.0|HTTP/2.0|RTSP/1.0|ICE/1.0"
    b"|200|101|204|0|3|:|: | |Expect: 100-continue|Transfer-Encoding: gzip"
).split(b"|")
_CONTROL = [b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\t", b"\x00", b"\xff"]
_LINES = (
    b"Host: a|Content-Length: 0|Content-Length: 3|Transfer-Encoding: chunked|Connection: close"
    b"|Connection: keep-alive|Connection: Upgrade|Upgrade: x|Proxy-Connection: close|X-A: b|X_B: c"
).split(b"|")
FIELDS = st.sampled_from(_LINES)
BITS = st.sampled_from([*_TOKENS, *_CONTROL, *_LINES])
REQUEST_LINES = st.sampled_from(
    b"GET / HTTP/1.1|POST /x HTTP/1.1|SLUDGE / HTTP/1.1|HEAD / HTTP/1.0|CONNECT a:1 HTTP/1.1".split(
        b"|"
    )
)
STATUS_LINES = st.sampled_from(
    (
        b"HTTP/1.1 200 OK|HTTP/1.0 200 OK|HTTP/1.1 204|HTTP/1.1 304 x|HTTP/1.1 101 x"
        b"|HTTP/1.1 100 Continue|HTTP/1.1 103 Early"
    ).split(b"|")
)


def heads(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(lines, st.lists(FIELDS, max_size=5)).map(
        lambda parts: b"\r\n".join([parts[0], *parts[1], b"", b""])
    )


def soup(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes up to the first blank line, as the connections cut them."""
    any_bytes = st.one_of(
        st.binary(max_size=60),
        st.lists(BITS, max_size=12).map(b"".join),
        st.tuples(lines, st.lists(BITS, max_size=10).map(b"".join)).map(b"\r\n".join),
    )
    return any_bytes.map(_up_to_blank)


def _up_to_blank(data: bytes) -> bytes:
    data += b"\r\n\r\n"
    return data[: data.find(b"\r\n\r\n") + 4]


def told(head: RequestHead | ResponseHead) -> dict[str, object]:
    names = {*head.__slots__, "pairs", "fields"} - {"_pairs"}  # in whichever form it is
    return {name: getattr(head, name) for name in names}


@given(soup(REQUEST_LINES))
@example(b"\r\n\r\n")
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        head = RequestReader().read(data)
    except BadRequest as error:
        assert error.status in (400, 505)
        assert error.close
        return
    line, *fields = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert line == b" ".join([head.method.encode(), head.target, b"HTTP/" + head.version.encode()])
    assert sum(len(v.split(b", ")) for v in head.fields.values()) + len(head.pairs) == len(fields)
    assert not any(byte in data.replace(b"\r\n", b"") for byte in b"\r\n\0")


@given(soup(STATUS_LINES))
def test_any_bytes_are_a_response_or_refused(data: bytes) -> None:
    try:
        head = ResponseReader().read(data)
    except BadResponse as error:
        assert error.status == 502
        return
    assert data.startswith(b"HTTP/%s %d" % (head.version.encode(), head.status))
    assert 100 <= head.status <= 599


def outcome(reader: RequestReader | ResponseReader, data: bytes) -> object:
    try:
        return told(reader.read(data))
    except (BadRequest, BadResponse) as error:
        return error.status


@given(st.lists(st.one_of(heads(REQUEST_LINES), soup(REQUEST_LINES)), min_size=2, max_size=4))
def test_no_request_changes_how_the_next_is_read(several: list[bytes]) -> None:
    """The parser keeps state of its own: bodies it waits for, upgrades, closed connections."""
    reader = RequestReader()
    for data in several:
        fresh = outcome(RequestReader(), data)
        if fresh == 400 or _ends_the_connection(data):
            reader = RequestReader()
            continue
        assert outcome(reader, data) == fresh


@given(st.lists(heads(STATUS_LINES), min_size=2, max_size=4))
def test_no_response_changes_how_the_next_is_read(several: list[bytes]) -> None:
    reader = ResponseReader()
    for data in several:
        fresh = outcome(ResponseReader(), data)
        assert outcome(reader, data) == fresh
        interim = isinstance(fresh, dict) and fresh["status"] < 200
        if fresh == 502 or (_ends_the_connection(data) and not interim):
            reader = ResponseReader()


def _ends_the_connection(data: bytes) -> bool:
    """So that the gateway reads no other head from it (`framing.py`)."""
    return b"\r\nConnection: close" in data or b"HTTP/1.0" in data.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nProxy-Connection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 40\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"SLUDGE / HTTP/1.1\r\nContent-Length: 40\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ],
)
def test_what_the_parser_would_remember(first: bytes) -> None:
    reader = RequestReader()
    outcome(reader, first)
    head = reader.read(b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (head.method, head.target, head.fields) == ("GET", b"/second", {b"host": b"a"})


def test_whitespace_around_values_is_not_part_of_them() -> None:
    head = RequestReader().read(b"GET / HTTP/1.1\r\nHost: \t a \t\r\nX-A:  b\r\n\r\n")
    assert head.fields == {b"host": b"a"}
    assert head.pairs == [(b"X-A", b"b")]


def test_repeated_fields_are_joined_in_order() -> None:
    head = RequestReader().read(b"GET / HTTP/1.1\r\nVia: a\r\nX-A: b\r\nVIA: c\r\n\r\n")
    assert head.fields == {b"via": b"a, c"}
    assert (head.get(b"via"), head.get(b"x-a"), head.get(b"x-c")) == (b"a, c", b"b", None)


LIMITS = Limits(request_line=40, head_bytes=80)

PARTIAL = [
    (b"G", 0),
    (b"GET / HTTP/1.1\r", 0),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r", 0),
    (b"GET / HTTP/1.0\r\n", 0),
    (b"GET / HTTP/1.2\r\n", 0),
    (b"GET /" + b"x" * 35, 0),
    (b"GET /" + b"x" * 35 + b"\r", 0),
    (b"GET /" + b"x" * 37, 414),
    (b"GET /" + b"x" * 27 + b" HTTP/1.1\r\n", 414),
    (b"GET / HTTP/1.1\r\nX-A: " + b"b" * 59, 0),
    (b"GET / HTTP/1.1\r\nX-A: " + b"b" * 60, 431),
    (b"GET /\r\n", 400),
    (b"GET / HTTP/1.1\n", 400),
    (b"GET / HTTP/1.1\r\nX-A: b\n", 400),
    (b"GET / HTTP/1.1\r\nX-A: b\rc", 400),
    (b"GET / HTTP/2.0\r\n", 505),
    (b"GET / RTSP/1.0\r\n", 400),
    (b" GET", 400),
    (b"\x16\x03\x01", 400),
    (b"\n", 400),
]


@pytest.mark.parametrize(("data", "status"), PARTIAL)
def test_a_beginning_is_refused_once_it_cannot_become_a_head(data: bytes, status: int) -> None:
    def bytewise() -> None:
        seen = 0
        for end in range(1, len(data) + 1):
            seen = check_partial(data[:end], seen, LIMITS)

    for check in (lambda: check_partial(data, 0, LIMITS), bytewise):
        if not status:
            check()
            continue
        with pytest.raises(BadRequest) as caught:
            check()
        assert caught.value.status == status


@pytest.mark.parametrize("data", [b"", b"H", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nX: y\r"])
def test_the_beginning_of_an_answer(data: bytes) -> None:
    check_partial_answer(data)


@pytest.mark.parametrize(
    "data", [b"S", b"HTTP/2", b"HTTP/1.1 200 OK\n", b"HTTP/1.1 200 OK\rX", b"\r\n"]
)
def test_what_is_no_beginning_of_an_answer(data: bytes) -> None:
    with pytest.raises(BadResponse):
        check_partial_answer(data)


NAMES = st.from_regex(rb"[a-z][a-z0-9-]{0,8}", fullmatch=True)
VALUES = st.from_regex(rb"(?:[!-~](?:[ -~]{0,10}[!-~])?)?", fullmatch=True)
PAIRS = st.lists(st.tuples(NAMES.map(lambda n: b"x-" + n), VALUES), max_size=6)


@given(PAIRS)
def test_a_written_request_is_read_as_it_was_meant(pairs: list[tuple[bytes, bytes]]) -> None:
    asked = RequestHead()
    asked.method = "SLUDGE"
    for pair in pairs:
        asked.receive(*pair)
    head = RequestReader().read(encode_request(asked, Edits("/a?b", "a.test"), [], b""))
    assert (head.method, head.target, head.version) == ("SLUDGE", b"/a?b", "1.1")
    assert head.pairs == pairs


@given(PAIRS, st.integers(200, 599), st.binary(max_size=20))
def test_a_written_response_is_read_as_it_was_meant(
    pairs: list[tuple[bytes, bytes]], status: int, reason: bytes
) -> None:
    """Whatever the reason phrase, which comes from upstreams."""
    asked = made_response(status, pairs, 0)
    asked.reason = reason
    wire = encode_response(asked, NO_EDITS, [], b"content-length: 0\r\n")
    head = ResponseReader().read(wire)
    assert (head.status, head.pairs) == (status, pairs)
    assert head.fields == {b"content-length": b"0"}
