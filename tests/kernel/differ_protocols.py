"""The parsers of TLS, PROXY, WebSocket, gRPC and HTTP/2, with random input, in two ways.

    python -m tests.kernel.differ_protocols [--seconds 60] [--seed 1] [--only h2,websocket]

What clients send is mutated and cut anywhere. It is read by what is compiled and by the sources,
in pieces and whole: all four must say the same, and nothing is raised but what a parser's caller
expects. These modules keep Python's own checks when they are compiled, so that there is nothing for
a sanitizer to find; whatever differs is printed, and the end is 1 then.
"""

from __future__ import annotations

import argparse
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from importlib import import_module
from random import Random
from types import SimpleNamespace
from typing import Any

import proxy
from tests.http.h2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GET,
    HEADERS,
    PING,
    POST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    literal,
)
from tests.http.test_client_hello import crafted, extension, hello, records, sni
from tests.kernel.twins import plain

Pieces = Sequence[bytes]
Load = Callable[[str], Any]

_LIMITS = SimpleNamespace(request_line=300, head_bytes=2000, head_fields=30)
_NUMBERS = (0, 1, 2, 3, 4, 5, 8, 9, 13, 16, 22, 32, 58, 61, 125, 126, 127, 128, 192, 254, 255)


class Parsers:
    """Each method reads pieces by one of the two, and tells all that there is to know."""

    def __init__(self, load: Load) -> None:
        self.errors = load("proxy.errors")
        self.hello = load("proxy.http.client_hello")
        self.header = load("proxy.http.proxy_header")
        self.frames = load("proxy.http.websocket")
        self.web = load("proxy.http.grpc_web")
        self.grpc = load("proxy.http.grpc")
        self.inflow = load("proxy.otlp.inflow")
        self.call = load("proxy.otlp.rpc.call")
        self.refusal = load("proxy.otlp.refusal").Refusal
        self.h2 = load("proxy.http.h2")
        self.requests = load("proxy.http.h2_request")
        self.authorities = load("proxy.http.target").Authorities()
        check = load("proxy.http.receive").check_underscores
        self.rules = SimpleNamespace(limits=_LIMITS, underscores=lambda head: check("drop", head))

    def tls(self, pieces: Pieces) -> Any:
        data, said = b"", "nothing came"
        for piece in pieces:
            data += piece
            try:
                found = self.hello.client_hello(data)
            except self.hello.Incomplete:
                said = "incomplete"
                continue
            except self.hello.NotTls as error:
                whole = b"".join(pieces)
                return "no", str(error), self.hello.is_http(whole), self.hello.is_tls(whole)
            return found.server_name, found.alpn
        return said

    def proxy(self, pieces: Pieces) -> Any:
        reader = self.header.ProxyHeaderReader()
        for number, piece in enumerate(pieces):
            try:
                found = reader.feed(piece)
            except self.header.ProxyHeaderError as error:
                return "no", error.reason
            if found is not None:
                return tuple(found), reader.rest + b"".join(pieces[number + 1 :])
        return "incomplete"

    def websocket(self, pieces: Pieces) -> Any:
        frames = self.frames.Frames()
        for piece in pieces:
            frames.feed(piece)
        return frames.messages, frames.close_code, frames.lost

    def grpc_web(self, pieces: Pieces) -> Any:
        decoder, found = self.web.Decoder(), b""
        try:
            for piece in pieces:
                found += decoder.decode(piece)
            decoder.end()
        except self.errors.BadRequest as error:
            return error.status
        return found

    def grpc_message(self, pieces: Pieces) -> Any:
        inflow = self.inflow.Inflow(self.inflow.Limits(400, 0))
        call = self.call.Call(1, 0, inflow, lambda _: None)
        call.is_over, call.encoding = True, "gzip"
        try:
            for piece in pieces:
                call.add(piece, 1)
            return call.message()
        except self.refusal as error:
            return type(error).__name__
        finally:
            call.close()
            assert inflow.in_flight == 0

    def grpc_words(self, pieces: Pieces) -> Any:
        value, grpc = b"".join(pieces), self.grpc
        path = value.decode("latin-1")
        text = grpc.decode_message(value)
        assert grpc.decode_message(grpc.encode_message(text)) == text
        told = grpc.parse_timeout(value), grpc.parse_status(value), grpc.pushback(value)
        kind = self.web.kind_of(value)
        return text, told, grpc.method_of(path), grpc.is_grpc(value), kind

    def http2(self, pieces: Pieces) -> Any:
        session, told, sent = self.h2.Session(True, self.h2.Rules(head_bytes=2000)), [], []
        bodies: dict[int, bytes] = {}
        for piece in pieces:
            events = session.receive(piece, 1)
            while session.waiting:
                events += session.receive(b"", 1)
            for event in events:
                kind = type(event).__name__
                if kind == "DataReceived":
                    stream = event.stream_id
                    bodies[stream] = bodies.get(stream, b"") + bytes(event.data)
                elif kind == "RequestReceived":
                    told.append((event.stream_id, self._request(event)))
                elif kind in ("StreamClosed", "ConnectionClosed"):
                    told.append((kind, event.error_code))
            sent.append(session.take())
        return told, bodies, session.closed, session.in_head, b"".join(sent)

    def _request(self, event: Any) -> Any:
        try:
            head = self.requests.request_head(
                event.headers, event.end_stream, self.rules, self.authorities
            )
        except self.errors.ClientError as error:
            return type(error).__name__, error.status, str(error)
        whole = head.method, head.path, head.query, head.authority, head.length, head.seen
        return whole, list(head), list(head.fields.items()), head.protocol


def _mutated(random: Random, data: bytes) -> bytes:
    """With up to six changes somewhere."""
    for _ in range(random.choice((0, 0, 1, 1, 1, 2, 3, 6))):
        at, size = random.randrange(len(data) + 1), random.randrange(9)
        byte = random.choice((random.randrange(256), random.choice(_NUMBERS)))
        data = random.choice(
            (
                data[:at] + bytes([byte]) + data[at + 1 :],
                data[:at] + bytes([byte]) + data[at:],
                data[:at] + data[at + size :],
                data[:at] + data[at : at + size] + data[at:],
                data[:at],
            )
        )
    return data


def _cut(random: Random, data: bytes) -> Pieces:
    places = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(6)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def _hellos() -> list[bytes]:
    whole = [hello(), hello(None), hello("a.b", ["h2", "http/1.1"]), records(hello(), 100)]
    alpn = extension(16, b"\0\x03\x02h2")
    return [
        *whole,
        crafted(sni(b"a.test") + alpn),
        crafted(sni(b"A.", b"b")),
        b"GET / HTTP/1.1\r\n",
    ]


def _headers() -> list[bytes]:
    encode = import_module("proxy.http.proxy_header").encode
    pairs = [(("10.0.0.1", 1), ("10.0.0.2", 80)), (("::1", 65535), ("::ffff:10.0.0.2", 8))]
    known = [encode(version, *pair) + b"rest" for version in ("v1", "v2") for pair in pairs]
    long = known[2][:14] + b"\0\x19" + known[2][16:28] + b"\x05\0\x02id\x03\0\x04abcd\x04\0\0"
    return [*known, long, encode("v1", None, None), encode("v2", None, None), b"PROXY TCP4 1.2.3"]


def _websockets() -> list[bytes]:
    masked = b"\x81\x85abcdhello" + b"\x89\x80abcd" + b"\x88\x82abcd\x62\x8b"
    long = b"\x02\xfe\x01\x00abcd" + bytes(256) + b"\x80\x7f\0\0\0\0\0\0\0\x02xx\x88\0"
    return [masked, long, b"\x82\x7f" + bytes(8) + b"\x88\x02\x03\xe8"]


def _messages() -> list[bytes]:
    return [b"\0\0\0\0\x05hello", b"\x01\0\0\1\0" + bytes(256), b"\0\0\0\0\0", b"\0\0\xff\0\0a"]


def _words() -> list[bytes]:
    words = b"1S 99999999H 0n 13 -1 OK%20%C3%A4%%zz /a.B/C application/grpc-web-text+proto"
    return [*words.split(b" "), b"application/grpc; a=b", b"\xff\xfe%e4", b"100m"]


def _frames() -> list[bytes]:
    more = [(b"cookie", b"a=1"), (b"cookie", b"b"), (b"x_y", b"1"), (b"te", b"trailers")]
    first = frame(HEADERS, END_HEADERS | END_STREAM, 1, literal([*GET, *more]))
    body = frame(HEADERS, END_HEADERS, 3, literal([*POST, (b"content-length", b"4")]))
    body += frame(DATA, 0, 3, b"ab") + frame(PING, 0, 0, bytes(8)) + frame(DATA, 1, 3, b"cd")
    split = frame(HEADERS, 1, 1, literal(GET)) + frame(CONTINUATION, 4, 1, literal(more))
    connect = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
    tunnel = frame(HEADERS, END_HEADERS, 5, literal(connect)) + frame(DATA, 0, 5, b"x")
    rest = frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") + frame(RST_STREAM, 0, 1, b"\0\0\0\x08")
    return [first + body + tunnel, split + rest, body + tunnel + rest, rest * 70]


def _sent(random: Random, data: bytes) -> bytes:
    """Frames whose payloads are mutated, and mostly as long as they say; behind the preface."""
    preface = import_module("proxy.http.h2").PREFACE + frame(SETTINGS, 0, 0)
    if random.random() < 0.3:
        return preface + _mutated(random, data)
    found, at = [], 0
    while at + 9 <= len(data):
        size = int.from_bytes(data[at : at + 3])
        payload = data[at + 9 : at + 9 + size]
        if random.random() < 0.4:
            payload = _mutated(random, payload)
        found.append(len(payload).to_bytes(3) + data[at + 3 : at + 9] + payload)
        at += 9 + size
    return preface + b"".join(found)


_KINDS: dict[str, tuple[Callable[[], list[bytes]], bool]] = {  # seeds; whether cutting is nothing
    "tls": (_hellos, True),
    "proxy": (_headers, True),
    "websocket": (_websockets, True),
    "grpc_web": (lambda: [b64encode(m) for m in (b"", b"a", b"\0\0\0\0\1a", bytes(50))], True),
    "grpc_message": (_messages, True),
    "grpc_words": (_words, True),
    "http2": (_frames, False),  # what is answered, and when, depends on what has come
}


class Differ:
    """Both sides, and what one kind of input makes of each."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._sides = Parsers(import_module), Parsers(plain)
        self._seeds = {kind: make() for kind, (make, _) in _KINDS.items()}

    def once(self, kind: str) -> None:
        """One input; AssertionError where something differs."""
        random = self._random
        seed = random.choice(self._seeds[kind])
        data = _sent(random, seed) if kind == "http2" else _mutated(random, seed)
        if random.random() < 0.1:
            data += random.choice(self._seeds[kind])
        pieces = _cut(random, data)
        ways = [pieces, [data]] if _KINDS[kind][1] else [pieces]
        told = [getattr(side, kind)(way) for side in self._sides for way in ways]
        assert all(one == told[0] for one in told), f"{kind} {pieces!r}: {told}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--only", default=",".join(_KINDS))
    given = parser.parse_args()
    if proxy.WHY_PLAIN:
        sys.exit(f"there is nothing to compare: {proxy.WHY_PLAIN}")
    differ, kinds = Differ(given.seed), given.only.split(",")
    done, until = 0, time.monotonic() + given.seconds
    while time.monotonic() < until:
        try:
            for kind in kinds:
                differ.once(kind)
        except AssertionError as error:
            print(f"--seed {given.seed}, after {done:,} of each: {error}")
            return 1
        done += 1
    print(f"{done:,} inputs of each of {', '.join(kinds)}: no difference (seed {given.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
