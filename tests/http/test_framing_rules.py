"""Where bodies end, as pure rules on heads: RFC 9112 §6 with every doubt an error."""

from __future__ import annotations

import pytest

from proxy.errors import BadRequest, BadResponse
from proxy.http.edits import WANTS_TRAILERS, WANTS_TUNNEL, Edits
from proxy.http.framing import (
    frame_request,
    frame_response,
    frame_upload,
    is_chunked,
)
from proxy.http.head import RequestHead, ResponseHead
from proxy.http.headers import REQUEST_SPECIAL, RESPONSE_SPECIAL

CHUNKED = {"transfer-encoding": "chunked"}


def request(fields: dict[str, str], method: str = "GET", version: str = "1.1") -> RequestHead:
    head = RequestHead()
    head.method, head.version = method, version
    for name, value in fields.items():
        pair = (name.encode(), value.encode("latin-1"))
        if pair[0] in REQUEST_SPECIAL:
            head.fields[pair[0]] = pair[1]
        else:
            head.pairs.append(pair)
    return head


def response(fields: dict[str, str], status: int = 200, version: str = "1.1") -> ResponseHead:
    head = ResponseHead()
    head.status, head.version = status, version
    for name, value in fields.items():
        pair = (name.encode(), value.encode("latin-1"))
        if pair[0] in RESPONSE_SPECIAL:
            head.fields[pair[0]] = pair[1]
        else:
            head.pairs.append(pair)
    return head


@pytest.mark.parametrize(
    ("fields", "version", "length", "keep_alive"),
    [
        ({}, "1.1", 0, True),
        ({}, "1.0", 0, False),
        ({"connection": "keep-alive"}, "1.0", 0, True),
        ({"connection": "Keep-Alive, x"}, "1.0", 0, True),
        ({"connection": "close"}, "1.1", 0, False),
        ({"connection": "x, CLOSE"}, "1.1", 0, False),
        ({"connection": "keep-alive, close"}, "1.1", 0, False),
        ({"connection": "keep-alive, close"}, "1.0", 0, False),
        ({"connection": "closed"}, "1.1", 0, True),
        ({"content-length": "007"}, "1.1", 7, True),
        ({"content-length": "9" * 19}, "1.1", 10**19 - 1, True),
        (CHUNKED, "1.1", None, True),
        ({"transfer-encoding": "Chunked"}, "1.1", None, True),
        ({"expect": "100-Continue", "content-length": "1"}, "1.1", 1, True),
    ],
)
def test_a_request(
    fields: dict[str, str], version: str, length: int | None, keep_alive: bool
) -> None:
    head = request(fields, version=version)
    frame_request(head)
    assert (head.length, head.keep_alive) == (length, keep_alive)
    assert is_chunked(head) == (length is None)


@pytest.mark.parametrize(
    ("fields", "method", "version", "status"),
    [
        ({**CHUNKED, "content-length": "3"}, "POST", "1.1", 400),
        (CHUNKED, "POST", "1.0", 400),
        ({"content-length": "3"}, "GET", "1.0", 400),
        ({"content-length": "3"}, "HEAD", "1.0", 400),
        ({"transfer-encoding": ""}, "POST", "1.1", 400),
        ({"transfer-encoding": "gzip"}, "POST", "1.1", 400),
        ({"transfer-encoding": ", chunked"}, "POST", "1.1", 400),
        ({"transfer-encoding": "chunked, chunked"}, "POST", "1.1", 400),
        ({"transfer-encoding": "chunked, gzip"}, "POST", "1.1", 400),
        ({"transfer-encoding": "chunked, gzip, chunked"}, "POST", "1.1", 400),
        ({"transfer-encoding": "gzip, chunked"}, "POST", "1.1", 501),
        ({"expect": "200-maybe"}, "POST", "1.1", 417),
        ({"expect": "100-continue, 100-continue"}, "POST", "1.1", 417),
        ({"connection": ":method"}, "GET", "1.1", 400),
        ({"connection": ",".join(f"x{n}" for n in range(11))}, "GET", "1.1", 400),
    ],
)
def test_a_request_in_doubt(fields: dict[str, str], method: str, version: str, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        frame_request(request(fields, method, version))
    assert caught.value.status == status
    assert caught.value.close


@pytest.mark.parametrize(
    "value", ["", "+3", "-3", "0x3", "1_0", " 3", "3 ", "3, 3", "3.0", "\xb2", "\xb3", "3" * 20]
)
def test_only_digits_are_a_length(value: str) -> None:
    """int() would take half of these."""
    with pytest.raises(BadRequest):
        frame_request(request({"content-length": value}, "POST"))


def test_nominated_fields_are_taken_away_but_not_those_that_frame_or_route() -> None:
    head = request(
        {
            "connection": "X-A, traceparent, via, host, content-length, cookie, authorization",
            "traceparent": "t",
            "via": "v",
            "host": "h",
            "content-length": "3",
            "x-a": "1",
            "x-b": "2",
            "cookie": "c",
            "authorization": "z",
        }
    )
    frame_request(head)
    assert head.pairs == [(b"x-b", b"2"), (b"cookie", b"c"), (b"authorization", b"z")]
    assert sorted(head.fields) == [b"connection", b"content-length", b"host"]
    assert head.length == 3


@pytest.mark.parametrize(
    ("fields", "status", "version", "method", "length", "keep_alive"),
    [
        ({"content-length": "3"}, 200, "1.1", "GET", 3, True),
        ({"content-length": "3"}, 200, "1.0", "GET", 3, False),
        ({"content-length": "3", "connection": "keep-alive"}, 200, "1.0", "GET", 3, True),
        ({"content-length": "3", "connection": "Close"}, 200, "1.1", "GET", 3, False),
        (CHUNKED, 200, "1.1", "GET", None, True),
        ({**CHUNKED, "content-length": "3"}, 200, "1.1", "GET", None, False),
        ({}, 200, "1.1", "GET", None, False),
        ({}, 200, "1.1", "HEAD", 0, True),
        ({"content-length": "3"}, 200, "1.1", "HEAD", 0, True),
        (CHUNKED, 200, "1.1", "HEAD", 0, True),
        ({}, 204, "1.1", "GET", 0, True),
        ({}, 304, "1.1", "GET", 0, True),
        ({"content-length": "9"}, 304, "1.1", "GET", 0, True),
        ({"connection": "close"}, 304, "1.1", "GET", 0, False),
        ({}, 304, "1.0", "GET", 0, False),
        ({"connection": "x"}, 304, "1.0", "GET", 0, False),
        ({"connection": "keep-alive"}, 304, "1.0", "GET", 0, True),
    ],
)
def test_a_response(
    fields: dict[str, str],
    status: int,
    version: str,
    method: str,
    length: int | None,
    keep_alive: bool,
) -> None:
    head = response(fields, status, version)
    frame_response(head, method)
    assert (head.length, head.keep_alive) == (length, keep_alive)


def test_a_length_beside_chunks_is_not_passed_on() -> None:
    head = response({**CHUNKED, "content-length": "3"})
    frame_response(head, "HEAD")
    assert b"content-length" not in head.fields


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({"content-length": "+2"}, "1.1"),
        ({"content-length": "2, 2"}, "1.1"),
        ({"content-length": "2" * 20}, "1.1"),
        ({"transfer-encoding": "gzip"}, "1.1"),
        ({"transfer-encoding": "gzip, chunked"}, "1.1"),
        ({"transfer-encoding": "chunked, chunked"}, "1.1"),
        (CHUNKED, "1.0"),
    ],
)
def test_a_response_in_doubt(fields: dict[str, str], version: str) -> None:
    with pytest.raises(BadResponse):
        frame_response(response(fields, version=version), "GET")


@pytest.mark.parametrize(
    ("wants", "lines"),
    [
        (0, b""),
        (WANTS_TRAILERS, b"te: trailers\r\nconnection: te\r\n"),
        (WANTS_TUNNEL, b"connection: upgrade\r\nupgrade: websocket\r\n"),
        (
            WANTS_TRAILERS | WANTS_TUNNEL,
            b"te: trailers\r\nconnection: te, upgrade\r\nupgrade: websocket\r\n",
        ),
    ],
)
def test_fields_of_one_hop_are_named_in_connection(wants: int, lines: bytes) -> None:
    edits = Edits()
    edits.wants = wants
    head = request({"upgrade": "h2c, websocket"})
    head.protocol = "websocket"
    assert frame_upload(head, edits) == lines
