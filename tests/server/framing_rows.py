"""Tables A to D: body framing, chunked bodies, header syntax, request line and Host.

The letters are those of the project's table of hostile input. Where several answers would do, the
row's name says which one is given, and why.
"""

from __future__ import annotations

from tests.server.wire import Row, chunked, get, keeps, post

_CL_TE = (b"Content-Length: 3", b"Transfer-Encoding: chunked")
_END = b"3\r\nabc\r\n0\r\n\r\n"


def _lengths() -> list[Row]:
    values = [b"+3", b"-3", b"0x3", b"1_0", b"", b"3 3", b"\x0b3", b"\xd9\xa3", b"3.0", b"3,"]
    return [
        Row(f"A5 Content-Length {v!r}", post(b"Content-Length: " + v, body=b"abc"), 400)
        for v in values
    ]


def _codings() -> list[Row]:
    values = {
        b"\x0bchunked": 400,
        b"\xa0chunked": 400,
        b'"chunked"': 400,
        b"xchunked": 400,
        b"identity": 400,
        b"gzip": 400,
        b", chunked": 400,
        b"chunked,": 400,
        b"chunked, identity": 400,
        b"chunked;q=1": 400,
        b"": 400,
        b"gzip, chunked": 501,  # A9
    }
    return [
        Row(f"A8 Transfer-Encoding {v!r}", post(b"Transfer-Encoding: " + v, body=_END), status)
        for v, status in values.items()
    ]


BODY = [
    Row("A1 both framings", post(*_CL_TE, body=_END), 400),
    Row("A1 both framings, the other way round", post(*reversed(_CL_TE), body=_END), 400),
    Row(
        "A2 twice the same length",
        post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
        400,
    ),
    Row("A3 two lengths", post(b"Content-Length: 3", b"Content-Length: 4", body=b"abc"), 400),
    Row("A4 list of the same length", post(b"Content-Length: 3, 3", body=b"abc"), 400),
    Row("A4 list of lengths", post(b"Content-Length: 3, 4", body=b"abc"), 400),
    *_lengths(),
    Row("A6 2^64+3", post(b"Content-Length: 18446744073709551619", body=b"abc"), 400),
    Row("A6 5,000 digits", post(b"Content-Length: " + b"0" * 4999 + b"3", body=b"abc"), 400),
    Row("A6 20 digits", post(b"Content-Length: 00000000000000000003", body=b"abc"), 400),
    keeps(
        "A6 leading zeros",
        post(b"Content-Length: 003", body=b"abc"),
        b"abc",
        has=(b"content-length: 3",),
    ),
    Row("A7 space before the colon", post(b"Content-Length : 3", body=b"abc"), 400),
    Row("A7 space before the colon, chunked", post(b"Transfer-Encoding : chunked", body=_END), 400),
    *_codings(),
    keeps("A8 upper case", post(b"Transfer-Encoding: CHUNKED", body=_END), b"abc"),
    keeps("A8 whitespace around", post(b"Transfer-Encoding: \t chunked  ", body=_END), b"abc"),
    # allowed by the grammar, but nobody honest sends it and llhttp reads it as part of the name
    Row("A8 tab at the end", post(b"Transfer-Encoding: chunked\t", body=_END), 400),
    keeps("A8 whitespace around a length", post(b"Content-Length:\t3 ", body=b"abc"), b"abc"),
    Row("A10 chunked twice", post(b"Transfer-Encoding: chunked, chunked", body=_END), 400),
    Row("A10 two fields", post(*[b"Transfer-Encoding: chunked"] * 2, body=_END), 400),
    Row("A11 folded", post(b"Transfer-Encoding:\r\n chunked", body=_END), 400),
    keeps(
        "A12 alias with an underscore, dropped",
        post(b"Transfer_Encoding: chunked", b"Content-Length: 3", body=b"abc"),
        b"abc",
        has=(b"content-length: 3",),
        lacks=(b"transfer",),
    ),
    Row(
        "A13 HTTP/1.0 with chunked",
        b"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + _END,
        400,
    ),
    keeps("A14 GET with a body", get(b"Content-Length: 3") + b"abc", b"abc"),
    keeps("A14 GET with chunks", get(b"Transfer-Encoding: chunked") + _END, b"abc"),
    keeps(
        "A14 DELETE with a body",
        b"DELETE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"abc",
        has=(b"content-length: 3",),
    ),
    Row("A14 HTTP/1.0 GET with a body", b"GET /x HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", 400),
    Row(
        "A14 HTTP/1.0 POST",
        b"POST /x HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        200,
        body=b"abc",
    ),
]

CHUNKS = [
    *(
        Row(f"B1 size {size!r}", chunked(size + b"\r\nabc\r\n0\r\n\r\n"), 400)
        for size in (b"0x3", b"+3", b"-3", b"0_3", b" 3", b"3g", b"", b"\t3", b"3\x00")
    ),
    Row("B2 17 digits", chunked(b"00000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
    Row("B2 2^64+3", chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
    keeps("B2 16 digits", chunked(b"0000000000000003\r\nabc\r\n0\r\n\r\n"), b"abc"),
    Row("B3 space after the size", chunked(b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    keeps("B4 extensions", chunked(b'3;a=b;c="d"\r\nabc\r\n0 ;e\r\n\r\n'), b"abc", lacks=(b"a=b",)),
    Row("B5 an extension of 70 kB", chunked(b"3;" + b"x" * 70_000 + b"\r\nabc\r\n0\r\n\r\n"), 400),
    Row("B5 an extension of 257 bytes", chunked(b"3;" + b"x" * 256 + b"\r\nabc\r\n0\r\n\r\n"), 400),
    keeps("B5 one of 256", chunked(b"3;" + b"x" * 255 + b"\r\nabc\r\n0\r\n\r\n"), b"abc"),
    Row("B5 16 KiB in all", chunked((b"1;" + b"x" * 200 + b"\r\na\r\n") * 82 + b"0\r\n\r\n"), 400),
    Row("B6 LF in an extension", chunked(b"2;\nxx\r\nab\r\n0\r\n\r\n"), 400),
    Row("B6 CR in an extension", chunked(b"2;\rxx\r\nab\r\n0\r\n\r\n"), 400),
    Row("B7 LF after a size", chunked(b"3\nabc\r\n0\r\n\r\n"), 400),
    Row("B7 LF after data", chunked(b"3\r\nabc\n0\r\n\r\n"), 400),
    Row("B7 LF at the end", chunked(b"3\r\nabc\r\n0\n\r\n"), 400),
    Row("B8 data without its end", chunked(b"3\r\nabcd\r\n0\r\n\r\n"), 400),
    Row("B8 data short", chunked(b"4\r\nabc\r\n0\r\n\r\n"), 400),
    Row("B8 bare CR", chunked(b"3\rabc\r\n0\r\n\r\n"), 400),
    keeps(
        "B10 trailers, dropped",
        chunked(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"),
        b"abc",
        lacks=(b"x-sum", b"6.6.6.6"),
    ),
    keeps(
        "B11 Content-Length and Host in trailers, dropped",
        chunked(b"3\r\nabc\r\n0\r\nContent-Length: 99\r\nHost: evil\r\n\r\n"),
        b"abc",
        lacks=(b"length: 99", b"evil"),
    ),
    Row("B12 trailers of 9 kB", chunked(b"0\r\n" + b"X: " + b"x" * 9_000 + b"\r\n\r\n"), 400),
    Row("B12 65 trailers", chunked(b"0\r\n" + b"X: y\r\n" * 65 + b"\r\n"), 400),
    Row("B12 a folded trailer", chunked(b"0\r\nX: y\r\n z\r\n\r\n"), 400),
    Row("B12 no trailer at all", chunked(b"0\r\nno colon\r\n\r\n"), 400),
]

SYNTAX = [
    Row("C1 LF line ends", b"GET /x HTTP/1.1\nHost: gateway.test\n\n", 400),
    Row("C1 one LF", b"GET /x HTTP/1.1\r\nHost: gateway.test\n\r\n", 400),
    Row("C1 LF at the end", b"GET /x HTTP/1.1\r\nHost: gateway.test\r\n\n", 400),
    Row("C2 CR in a value", get(b"X-A: b\rX-C: d"), 400),
    Row("C2 CR at a line's end", get(b"X-A: b\r"), 400),
    Row("C3 NUL in a value", get(b"X-A: b\x00c"), 400),
    *(
        Row(f"C4 {bytes([c])!r} in a value", get(b"X-A: b%cc" % c), 400)
        for c in (1, 7, 11, 27, 127)
    ),
    keeps("C4 tab and 8 bit in a value", get(b"X-A: b\tc\xe9"), has=(b"x-a: b\tc\xe9",)),
    Row("C5 folded value", get(b"X-A: b\r\n c"), 400),
    Row("C6 space before the first field", b"GET /x HTTP/1.1\r\n Host: gateway.test\r\n\r\n", 400),
    *(
        Row(f"C7 {line!r}", get(line), 400)
        for line in (b": v", b"X[]: v", b"X\xe9: v", b"no colon", b"X Y: v", b"X\t: v", b'"X": v')
    ),
    keeps("C8 alias, dropped", get(b"X_Forwarded_For: 6.6.6.6"), lacks=(b"6.6.6.6",)),
    keeps("C9 100 fields", get(*[b"X-A: b"] * 99), has=(b"x-a: b",)),
    Row("C9 101 fields", get(*[b"X-A: b"] * 100), 431),
    Row("C9 1,100 fields", get(*[b"X-A: b"] * 1099), 431),
    keeps("C10 a field of 20 kB", get(b"X-A: " + b"b" * 20_000), has=(b"x-a: " + b"b" * 20_000,)),
    Row("C10 a field of 70 kB", get(b"X-A: " + b"b" * 70_000), 431),
]


def _hosts() -> list[Row]:
    values = (
        b"a/x",
        b"a b",
        b"u@a",
        b"a,b",
        b"",
        b"a:x",
        b"a:b:c",
        b"[::1",
        b"a?b",
        b"a\xe9",
        b"a#",
    )
    return [
        Row(f"D3 Host {v!r}", b"GET /x HTTP/1.1\r\nHost: " + v + b"\r\n\r\n", 400) for v in values
    ]


def _versions() -> list[Row]:
    # 505 for what has the form of a version, 400 for what has not.
    statuses = {
        b"HTTP/2.0": 505,
        b"HTTP/3.0": 505,
        b"HTTP/0.9": 505,
        b"HTTP/01.1": 400,
        b"HTTP/1.1.1": 400,
        b"HTTP/1.": 400,
        b"HTTP/1": 400,
        b"http/1.1": 400,
        b"HTTPS/1.1": 400,
        b"RTSP/1.0": 400,
        b"ICE/1.0": 400,
        b"HTTP/1.1 ": 400,
        b" HTTP/1.1": 400,
        b"HTTP/1.1 HTTP/1.1": 400,
    }
    return [Row(f"D13 {v!r}", get(version=v), status) for v, status in statuses.items()]


LINE = [
    keeps("D13 HTTP/1.2", get(version=b"HTTP/1.2")),
    keeps("D13 HTTP/1.9, another method", b"X" + get(version=b"HTTP/1.9")),
    keeps(
        "D13 HTTP/1.2, body",
        post(b"Content-Length: 3", body=b"abc").replace(b"1.1", b"1.2"),
        b"abc",
    ),
    Row("D13 HTTP/1.2 without Host", b"GET /x HTTP/1.2\r\n\r\n", 400),
    Row("D13 HTTP/1.2, closes", get(b"Connection: close", version=b"HTTP/1.2"), 200, body=b""),
    Row("D13 HTTP/1.10", get(version=b"HTTP/1.10"), 400),
    Row("D1 no Host", b"GET /x HTTP/1.1\r\nX-A: b\r\n\r\n", 400),
    Row("D2 two Hosts", get(b"Host: gateway.test"), 400),
    Row("D2 two different Hosts", get(b"Host: other"), 400),
    *_hosts(),
    Row("D4 target and Host differ", get(target=b"http://other/x"), 400),
    keeps(
        "D4 absolute form",
        get(target=b"http://GATEWAY.test:80/y?z=1"),
        has=(b"get /y?z=1 http/1.1", b"host: gateway.test:80"),
    ),
    keeps(
        "D4 absolute form without a path",
        get(target=b"http://gateway.test?z"),
        has=(b"get /?z http/1.1",),
    ),
    Row("D4 userinfo", get(target=b"http://u@gateway.test/"), 400),
    Row("D5 https on a plain listener", get(target=b"https://gateway.test/x"), 400),
    Row("D5 ftp", get(target=b"ftp://gateway.test/x"), 400),
    Row("D6 authority form", get(target=b"gateway.test:80"), 400),
    Row("D6 GET *", get(target=b"*"), 400),
    Row("D6 no slash", get(target=b"x"), 400),
    Row("D7 CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
    Row("D7 CONNECT, Host without port", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    Row("D7 CONNECT to a path", b"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    Row("D7 CONNECT without a port", b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    Row("D7 CONNECT, another Host", b"CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", 400),
    Row("D7 CONNECT to user@", b"CONNECT u@a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 400),
    Row("D9 fragment", get(target=b"/x#b"), 400),
    Row("D9 fragment after a query", get(target=b"/x?y#b"), 400),
    *(
        Row(f"D10 {t!r}", get(target=t), 400)
        for t in (b"/a b", b"/a\tb", b"/a\xe9", b"/?a b", b"/?\x7f", b"/?\xe9", b"/\x00", b"/a\\b")
    ),
    Row("D10 two spaces before the target", get(target=b" /x"), 400),
    *(
        Row(f"D11 method {m!r}", m + b" /x HTTP/1.1\r\nHost: a\r\n\r\n", 400)
        for m in (b"G[T", b"G\x00T", b"", b"\x16\x03\x01", b'"GET"', b"GE\xe9T", b"GET,")
    ),
    *(
        keeps(
            f"D11 method {m!r}, forwarded",
            m + b" /x HTTP/1.1\r\nHost: a\r\n\r\n",
            has=(m.lower() + b" /x http/1.1",),
        )
        for m in (b"SLUDGE", b"get", b"post", b"connect", b"DESCRIBE", b"PURGE", b"!#$%&'*+.^_`|~-")
    ),
    Row("D11 TRACE", b"TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n", 405, closes=False),
    Row("D12 HTTP/0.9", b"GET /x\r\n", 400),
    Row("D12 HTTP/0.9 with a blank line", b"GET /x\r\n\r\n", 400),
    *_versions(),
    keeps("D14 an empty line first", b"\r\n" + get()),
    Row("D14 two empty lines first", b"\r\n\r\n" + get(), 400),
    Row("D14 LF first", b"\n" + get(), 400),
    Row("D14 CR first", b"\r" + get(), 400),
    keeps("D15 a request line of 8 KiB", get(target=b"/" + b"x" * (8192 - 14))),
    Row("D15 one byte more", get(target=b"/" + b"x" * (8192 - 13)), 414),
    Row("D15 20 kB", get(target=b"/" + b"x" * 20_000), 414),
    Row("D15 20 kB without an end", b"GET /" + b"x" * 20_000, 414),
]

ROWS = BODY + CHUNKS + SYNTAX + LINE
