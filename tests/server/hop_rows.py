"""Tables E and F as far as one request shows them: hop-by-hop fields, Expect, Upgrade."""

from __future__ import annotations

from tests.server.wire import Row, get, keeps, post

_CHILD = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_WEBSOCKET = (
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
)
_KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

HOPS = [
    keeps(
        "E1 X-Forwarded-For nominated",
        get(b"Connection: X-Forwarded-For", b"X-Forwarded-For: 6.6.6.6"),
        has=(b"x-forwarded-for: 127.0.0.1",),
        lacks=(b"6.6.6.6",),
    ),
    keeps(
        "E1 fields of the client's own nominated",
        get(b"Connection: close-not, X-A , x-b", b"X-A: secret", b"X-B: secret", b"X-C: d"),
        has=(b"x-c: d",),
        lacks=(b"secret", b"close-not"),
    ),
    Row("E1 pseudo-header nominated", get(b"Connection: :path"), 400),
    Row("E1 eleven names", get(b"Connection: " + b",".join(b"x%d" % n for n in range(11))), 400),
    keeps("E1 ten names", get(b"Connection: " + b",".join(b"x%d" % n for n in range(10)))),
    keeps(
        "E2 trace context nominated",
        get(
            b"Connection: traceparent, tracestate, baggage",
            b"traceparent: " + _CHILD,
            b"tracestate: a=b",
            b"baggage: c=d",
        ),
        lacks=(b"0af7651916cd43dd8448eb211c80319c", b"a=b", b"c=d"),
    ),
    keeps(
        "E3 end-to-end fields nominated, which is ignored",
        post(
            b"Connection: Host, Content-Length, Cookie, Authorization",
            b"Cookie: a=b",
            b"Authorization: c",
            b"Content-Length: 3",
            body=b"abc",
        ),
        b"abc",
        has=(b"host: gateway.test", b"cookie: a=b", b"authorization: c", b"content-length: 3"),
    ),
    keeps(
        "E3 Transfer-Encoding nominated, which is ignored",
        post(
            b"Connection: Transfer-Encoding",
            b"Transfer-Encoding: chunked",
            body=b"3\r\nabc\r\n0\r\n\r\n",
        ),
        b"abc",
        has=(b"transfer-encoding: chunked",),
    ),
    keeps(
        "E4 hop-by-hop fields",
        get(
            b"Connection: keep-alive",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: Basic eDp5",
            b"TE: gzip, trailers;q=0.5",
            b"Trailer: X-Sum",
        ),
        lacks=(b"connection:", b"keep-alive", b"proxy-", b"\r\nte:", b"trailer"),
    ),
    keeps(
        "E4 TE: trailers",
        get(b"TE: gzip, Trailers"),
        has=(b"te: trailers", b"connection: te"),
        lacks=(b"gzip",),
    ),
    keeps(
        "E4 TE: trailers, nominated as it must be, with a body",
        post(b"TE: trailers", b"Connection: TE, keep-alive", b"Content-Length: 3", body=b"abc"),
        b"abc",
        has=(b"te: trailers", b"connection: te"),
        lacks=(b"keep-alive",),
    ),
    keeps("E4 Proxy-Connection: close means nothing", get(b"Proxy-Connection: close")),
    keeps("E5 Via", get(b"Via: 1.0 fred"), has=(b"via: 1.0 fred, 1.1 spangate",)),
    Row(
        "E6 eleventh time round",
        get(b"Via: " + b", ".join([b"1.1 spangate"] * 10)),
        508,
        closes=False,
    ),
    keeps(
        "E6 tenth time round",
        get(b"Via: " + b", ".join([b"1.1 spangate"] * 9)),
        has=(b"via: " + b", ".join([b"1.1 spangate"] * 10),),
    ),
    Row(
        "E7 OPTIONS without hops left",
        b"OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
        200,
        closes=False,
    ),
    Row("E7 TRACE", b"TRACE /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 405, closes=False),
    keeps(
        "E7 OPTIONS with hops left",
        b"OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n",
        has=(b"max-forwards: 2",),
    ),
    keeps("E7 Max-Forwards of a GET", get(b"Max-Forwards: 0"), has=(b"max-forwards: 0",)),
    Row("D8 OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200, closes=False),
    Row("D8 OPTIONS of a host", b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", 200, closes=False),
    *(
        Row(
            f"E10 Expect {value!r}",
            post(b"Expect: " + value, b"Content-Length: 3", body=b"abc"),
            417,
        )
        for value in (
            b"200-maybe",
            b"100-continue, 100-continue",
            b"100 continue",
            b"y 100-continue",
            b"",
        )
    ),
    Row(
        "E10 Expect twice",
        post(*[b"Expect: 100-continue"] * 2, b"Content-Length: 3", body=b"abc"),
        417,
    ),
    Row(
        "E10 Expect folded",
        post(b"Expect:\r\n 100-continue", b"Content-Length: 3", body=b"abc"),
        400,
    ),
    keeps(
        "F1 h2c",
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        lacks=(b"upgrade", b"http2-settings", b"h2c"),
    ),
    keeps("F1 Upgrade without Connection", get(b"Upgrade: h2c"), lacks=(b"upgrade", b"h2c")),
    keeps(
        "F1 TLS, which Apache's HttpClient asks for each time",
        get(b"Connection: upgrade", b"Upgrade: TLS/1.2"),
        lacks=(b"upgrade", b"tls"),
    ),
    Row(
        "F1 websocket in HTTP/1.0",
        get(b"Connection: upgrade", b"Upgrade: websocket", _KEY, version=b"HTTP/1.0"),
        200,
        body=b"",
        lacks=(b"upgrade",),
    ),
    Row(
        "F2 websocket with a body that holds a request",
        post(*_WEBSOCKET, b"Content-Length: %d" % len(_SMUGGLED), body=_SMUGGLED),
        400,
    ),
    Row(
        "F2 websocket with chunks",
        post(*_WEBSOCKET, b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
        400,
    ),
    Row("F2 websocket without a key", get(*_WEBSOCKET), 400),
    Row("F2 websocket by POST", post(*_WEBSOCKET, _KEY), 400),
    Row("F5 another version of it", get(*_WEBSOCKET[:2], b"Sec-WebSocket-Version: 8", _KEY), 426),
    Row("F3 an unknown protocol", get(b"Connection: upgrade", b"Upgrade: foo"), 426),
]
