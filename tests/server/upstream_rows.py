"""Table G: answers good, odd and hostile, and what the client is told of them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.harness import OK

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ABC = b"3\r\nabc\r\n0\r\n\r\n"

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: close\r\n\r\n"


def answered(*lines: bytes, body: bytes = b"", status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *lines, b"", body])


@dataclass(frozen=True)
class Case:
    """What an upstream says, how it ends, and what the client is told."""

    id: str
    answer: bytes
    status: int
    body: bytes = b""
    reused: bool = False  # the upstream connection
    end: str = ""  # fin, reset; "" = it stays open
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()  # of the answer; "" = must not be there


def refused(name: str, answer: bytes, end: str = "", method: str = "GET") -> Case:
    return Case(name, answer, 502, end=end, method=method)


def _odd_heads() -> list[Case]:
    heads = {
        "two lengths": answered(b"Content-Length: 2", b"Content-Length: 3", body=b"okk"),
        "the same length twice": answered(b"Content-Length: 2", b"Content-Length: 2", body=b"ok"),
        "length +2": answered(b"Content-Length: +2", body=b"ok"),
        "length of 20 digits": answered(b"Content-Length: 00000000000000000002", body=b"ok"),
        "no length": answered(b"Content-Length: ", body=b"ok"),
        "gzip, chunked": answered(b"Transfer-Encoding: gzip, chunked", body=ABC),
        "gzip": answered(b"Transfer-Encoding: gzip", body=b"x"),
        "chunked twice": answered(b"Transfer-Encoding: chunked, chunked", body=ABC),
        "chunked in HTTP/1.0": answered(
            b"Transfer-Encoding: chunked", body=ABC, status=b"HTTP/1.0 200 OK"
        ),
        "NUL in a value": answered(b"Content-Length: 2", b"X-A: b\0c", body=b"ok"),
        "CR in a value": answered(b"Content-Length: 2", b"X-A: b\rX-C: d", body=b"ok"),
        "folded value": answered(b"Content-Length: 2", b"X-A: b", b" c", body=b"ok"),
        "space before the colon": answered(b"Content-Length: 2", b"X-A : b", body=b"ok"),
        "a field without a name": answered(b"Content-Length: 2", b": b", body=b"ok"),
        "LF line ends": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "LF in the middle": b"HTTP/1.1 200 OK\r\nContent-Length: 2\nX-A: b\r\n\r\nok",
        "a banner": b"SSH-2.0-OpenSSH_9.2\r\n",
        "something like a head": b"220 mail ESMTP\r\nhello: x\r\n\r\n",
        "RTSP": answered(b"Content-Length: 2", body=b"ok", status=b"RTSP/1.0 200 OK"),
        "HTTP/2.0": answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/2.0 200 OK"),
        "an empty line first": b"\r\n" + OK,
        "status 099": answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 099 x"),
        "status 2000": answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 2000 x"),
        "status 600": answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 600 x"),
        "101 unasked (F4)": answered(
            b"Connection: upgrade", b"Upgrade: websocket", status=b"HTTP/1.1 101 Switching"
        ),
        "200 kB of head": answered(b"X-A: " + b"a" * 200_000, b"Content-Length: 2", body=b"ok"),
        "a head just over 64 KiB": answered(b"X-A: " + b"a" * 65_536, body=b"ok"),
        "65 KiB and no end": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 65_536,
    }
    return [refused(name, answer) for name, answer in heads.items()]


CASES = [
    refused("FIN before any byte", b"", "fin"),
    refused("FIN before any byte, POST", b"", "fin", "POST"),
    refused("RST before any byte", b"", "reset"),
    refused("RST before any byte, POST", b"", "reset", "POST"),
    refused("FIN in the head", b"HTTP/1.1 200 OK\r\nContent-Le", "fin"),
    *_odd_heads(),
    Case(
        "both framings: chunked wins, not used again",
        answered(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=ABC),
        200,
        b"abc",
        fields=(("content-length", ""), ("transfer-encoding", "chunked")),
    ),
    Case(
        "a head of 60 kB",
        answered(b"X-A: " + b"a" * 60_000, b"Content-Length: 0"),
        200,
        reused=True,
    ),
    Case("bytes after the body", OK + b"HTTP/1.1 200 OK\r\n", 200, b"ok"),
    Case("bytes after the chunks", CHUNKED + ABC + b"x", 200, b"abc"),
    Case("bytes after an empty body", answered(b"Content-Length: 0", body=b"x"), 200),
    Case("length", OK, 200, b"ok", True),
    Case("chunks", CHUNKED + ABC, 200, b"abc", True),
    Case(
        "trailers, dropped",
        CHUNKED + b"0\r\nSet-Cookie: a=b\r\n\r\n",
        200,
        b"",
        True,
        fields=(("set-cookie", ""),),
    ),
    Case(
        "HTTP/1.2",
        answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.2 200 OK"),
        200,
        b"ok",
        True,
    ),
    refused("HTTP/1.10", answered(b"Content-Length: 0", status=b"HTTP/1.10 200 OK")),
    Case("padded sizes", CHUNKED + b"3  \r\nabc\r\n0\t \r\n\r\n", 200, b"abc", True),
    Case(
        "sizes of a fixed width",
        CHUNKED + b"00000003    \r\nabc\r\n1 ;a=b \r\nd\r\n0       \r\nX: y \r\n\r\n",
        200,
        b"abcd",
        True,
    ),
    Case("until close", answered(body=b"abc"), 200, b"abc", end="fin"),
    Case(
        "until close, HTTP/1.0",
        answered(body=b"abc", status=b"HTTP/1.0 200 OK"),
        200,
        b"abc",
        end="fin",
    ),
    Case(
        "HTTP/1.0",
        answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.0 200 OK"),
        200,
        b"ok",
    ),
    Case(
        "HTTP/1.0, kept alive",
        answered(
            b"Connection: Keep-Alive", b"Content-Length: 2", body=b"ok", status=b"HTTP/1.0 200 OK"
        ),
        200,
        b"ok",
        True,
        fields=(("connection", ""),),
    ),
    Case(
        "Connection: close",
        answered(b"Connection: close", b"Content-Length: 2", body=b"ok"),
        200,
        b"ok",
        fields=(("connection", ""),),
    ),
    Case(
        "Proxy-Connection: close means nothing",
        answered(b"Proxy-Connection: close", b"Content-Length: 0"),
        200,
        reused=True,
        fields=(("proxy-connection", ""),),
    ),
    Case(
        "whitespace after a length", answered(b"Content-Length: 2 ", body=b"ok"), 200, b"ok", True
    ),
    Case(
        "nominated field",
        answered(b"Connection: X-A", b"X-A: b", b"Content-Length: 2", body=b"ok"),
        200,
        b"ok",
        True,
        fields=(("x-a", ""),),
    ),
    Case(
        "no reason phrase",
        answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 200"),
        200,
        b"ok",
        True,
    ),
    Case(
        "HEAD with a length",
        answered(b"Content-Length: 5"),
        200,
        method="HEAD",  # used again after a rest (test_pool.py)
        fields=(("content-length", "5"),),
    ),
    Case("HEAD with chunked", CHUNKED, 200, method="HEAD"),
    Case("HEAD without framing", answered(), 200, reused=True, method="HEAD"),
    Case("HEAD with a body", OK, 200, method="HEAD", fields=(("content-length", "2"),)),
    Case(
        "204",
        answered(status=b"HTTP/1.1 204 x"),
        204,
        reused=True,
        fields=(("content-length", ""),),
    ),
    Case(
        "204 with a length",
        answered(b"Content-Length: 0", status=b"HTTP/1.1 204 x"),
        204,
        reused=True,
        fields=(("content-length", ""),),
    ),
    Case(
        "204 with a body",
        answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 204 x"),
        204,
        fields=(("content-length", ""),),
    ),
    Case(
        "304 with a length",
        answered(b"Content-Length: 5", status=b"HTTP/1.1 304 x"),
        304,
        reused=True,
        fields=(("content-length", "5"),),
    ),
    Case(
        "304 with a body", answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 304 x"), 304
    ),
    Case(
        "304 in HTTP/1.0 with an odd Connection",
        answered(b"Connection: x", status=b"HTTP/1.0 304 x"),
        304,
    ),
]
