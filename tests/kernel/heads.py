"""Heads to compare the scanner with llhttp by: real ones, hostile ones, and their mutations."""

from __future__ import annotations

from random import Random

_BROWSER = b"""GET /api/v1/orders/184467?expand=items,customer HTTP/1.1
Host: shop.example.com
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0
Accept: application/json, text/plain, */*
Accept-Language: en-GB,en;q=0.8,de;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=analytics
X-Client-Version: web/2026.7.1
traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
tracestate: congo=t61rcWkgMzE,rojo=00f067aa0ba902b7
baggage: userId=alice

"""
_PROXIED = b"""POST /a/b;c=d/e.f/%41%2f?x#y HTTP/1.1
host: [::1]:8080
content-length: 12
x-forwarded-for: 10.0.0.1, 10.0.0.2
X-Forwarded-Proto: https
x-forwarded-tls-client-cert: MIIB
Forwarded: for=10.0.0.1;proto=https
Via: 1.1 a
via: 1.1 b
X-Request-Id: 0123
X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124
X-B3-SpanId: 0020000000000001
X-B3-Sampled: 1
expect: 100-continue
max-forwards: 3

"""
_UPGRADE = b"""GET /ws HTTP/1.1
Host: a
Connection: keep-alive, Upgrade, X-Own
Upgrade: websocket
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Proxy-Connection: keep-alive
Proxy-Authorization: Basic YTpi
HTTP2-Settings: AAMAAABkAAQAAP__
TE: trailers
Keep-Alive: timeout=5
Trailer: x
X_Own: y
X-Own: z

"""
_CHUNKED = b"""PUT /x HTTP/1.1
Host: a
Transfer-Encoding: chunked
X-Empty:
X-Blank: \x20\t
X-Space: \x20a b\t
X-Eight: \xe4\xff
"""
_SHORT = b"""HEAD / HTTP/1.0

"""
_ANSWER = b"""HTTP/1.1 200 OK
Server: nginx/1.22.1
Date: Sun, 22 Nov 2026 20:00:19 GMT
Content-Type: application/json
Content-Length: 901
Connection: keep-alive
Keep-Alive: timeout=5, max=100
Vary: Accept-Encoding, Accept-Language
ETag: "5f2c-1b9d8e7a6c5f4"
X-Request-Id: 12
Set-Cookie: a=b
set-cookie: c=d

"""
_STREAM = b"""HTTP/1.1 404
transfer-encoding: Chunked
trailer: x
upgrade: h2c
proxy-connection: close
X_Own: y

"""
_BOTH = b"""HTTP/1.0 302 Found it
Transfer-Encoding: chunked
Content-Length: 3
Location: /

"""
_EARLY = b"""HTTP/1.1 103 Early Hints
Link: </a>; rel=preload

"""


def _lines(text: bytes) -> bytes:
    return text.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n"


REQUESTS = [_lines(head) for head in (_BROWSER, _PROXIED, _UPGRADE, _CHUNKED, _SHORT)]
ANSWERS = [_lines(head) for head in (_ANSWER, _STREAM, _BOTH, _EARLY)]

# What is put into a head, or in place of a part of it.
_CONTROLS = [bytes([c]) for c in (*range(0x21), 0x7F, 0x80, 0xA0, 0xFF)]
_MARKS = [bytes([c]) for c in b'!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~' + b"019aAzZ"]
_PIECES = (
    b"\r\n|\r\n |\r\n\t|\n\n|\r\r\n|: |:|:\t| :|  |//|/../|/./|/.|%2e|%00|%zz|%C3%A4|\xc3\xa4|?|??"
    b"|*|http://a/|https://a|GET|POST |get |SLUDGE |CONNECT |OPTIONS |M-SEARCH |PRI |SOURCE |TRACE "
    b"| HTTP/1.1| HTTP/1.0| HTTP/1.2| HTTP/2.0|HTTP/0.9| RTSP/1.0| ICE/1.0|http/1.1| HTTP/1.1 "
    b"|HTTP/1.1 |HTTP/1.2 |HTTP/1.0 |100|101|204|304|600|099|1000|\x00|18446744073709551616|+3|0x3"
    b"|3, 3|0|00000000000000000000003|close|upgrade|keep-alive|chunked|CHUNKED|gzip, chunked"
    b"|, chunked|chunked, chunked|identity|xchunked|100-continue"
).split(b"|")
_WHOLE = (
    b"Content-Length: 3|Content-Length: 12|content-length:0|Content-Length : 3|Content-Length:"
    b"|Content-Length: 3 |Content-Length: 3\t|Content-Length:\t3|Content-Length: 3 3"
    b"|Content-Length: 99999999999999999999|Content-Length: 9999999999999999999"
    b"|Transfer-Encoding: chunked|Transfer-Encoding: chunked |Transfer-Encoding:chunked\t"
    b"|Transfer-Encoding: gzip|Transfer-Encoding: gzip, chunked|Transfer-Encoding:"
    b"|Transfer-Encoding: chunked, chunked|transfer-encoding: CHUNKED|Transfer_Encoding: chunked"
    b"|Connection: close|Connection: upgrade|Connection: keep-alive|Connection: close, X-A"
    b"|Proxy-Connection: close|Upgrade: x|Host: a|Host: b|Host:|host: a:80|X_Forwarded_For: 1"
    b"|X-Forwarded-For: 1|Expect: 100-continue|Date: x|DATE: y|: x|X-A|X-A: b| X-A: b|\tX-A: b"
    b"|X A: b|X-A : b|X-A:b|X-A:\t \tb \t|X[A]: b|\xe4: b|X-A: \x00|X-A: \x7f|X-A: \x01|X-A: a\rb"
    b"|X-A: a\nb|traceparent: x|TRACEPARENT: y|Traceparent: z|keep-alive: timeout=3"
    b"|te: trailers|via: 1.1 c"
    b"|X-A-Name-Of-Thirty-One-Letters-31: x|X-A-Name-Of-Thirty-Two-Letters--32: x"
    b"|X-A-Name-Of-Thirty-Three-Letters-33: x|A: b|Ab: c|Abcdefg: h|Abcdefgh: i|Abcdefghi: j"
).split(b"|")


def mutated(random: Random, head: bytes) -> bytes:
    """`head` with a few changes, up to its first blank line, as the connections cut it."""
    for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 6))):
        head = random.choice(_CHANGES)(random, head or b"x")
    end = head.find(b"\r\n\r\n")
    return head[: end + 4] if end >= 0 else head + b"\r\n\r\n"


def _put(random: Random, head: bytes) -> bytes:
    at = random.randrange(len(head))
    return head[:at] + random.choice(_BITS) + head[at:]


def _replace(random: Random, head: bytes) -> bytes:
    at = random.randrange(len(head))
    return head[:at] + random.choice(_BITS) + head[at + random.randrange(1, 4) :]


def _cut(random: Random, head: bytes) -> bytes:
    at = random.randrange(len(head))
    return head[:at] + head[at + random.randrange(1, 9) :]


def _any_byte(random: Random, head: bytes) -> bytes:
    at = random.randrange(len(head))
    return head[:at] + bytes([random.randrange(256)]) + head[at + 1 :]


def _line(random: Random, head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    lines.insert(random.randrange(1, max(len(lines) - 1, 2)), random.choice(_WHOLE))
    return b"\r\n".join(lines)


def _twice(random: Random, head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    lines.insert(random.randrange(1, max(len(lines) - 1, 2)), random.choice(lines))
    return b"\r\n".join(lines)


def _without(random: Random, head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    del lines[random.randrange(len(lines))]
    return b"\r\n".join(lines)


def _many(random: Random, head: bytes) -> bytes:
    line, end, rest = head.partition(b"\r\n")
    return line + end + b"X-Many: x\r\n" * random.randrange(120) + rest


def _cased(random: Random, head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    at = random.randrange(len(lines))
    name, colon, value = lines[at].partition(b":")
    lines[at] = random.choice((name.upper(), name.lower(), name.swapcase())) + colon + value
    return b"\r\n".join(lines)


def _first(random: Random, head: bytes) -> bytes:
    """Something in the first line, where most can go wrong."""
    line, end, rest = head.partition(b"\r\n")
    return (random.choice((_put, _replace, _cut))(random, line) if line else b"x") + end + rest


_BITS = [*_CONTROLS, *_MARKS, *_PIECES]
_CHANGES = (_put, _replace, _cut, _any_byte, _line, _line, _twice, _without, _many, _cased, _first)
