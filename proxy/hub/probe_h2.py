"""Probes by HTTP/2, which aiohttp does not speak: one exchange on a connection of its own.

`exchange` is for any request; `answer_of` is a GET's. They raise what an attempt of a worker would
(errors.py), or OSError. What an answer means is decided in `probe.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from ssl import SSLError
from time import monotonic_ns
from typing import Any

from proxy import __version__
from proxy.config.syntax import Server, parse_server
from proxy.errors import BadResponse, TlsFailed, Truncated, UpstreamReset
from proxy.http import h2
from proxy.http.h2 import Rules, Session
from proxy.http.head import Pair
from proxy.hub import probe_grpc
from proxy.server.h2_ends import ended_by_us, reset_by_upstream
from proxy.server.tls_failures import failure
from proxy.server.tls_keyring import ClientContext

MOST_BODY = 64 * 1024  # bytes of an answer that are kept
OTHER = "the server speaks HTTP/1.1, not HTTP/2"


@dataclass(slots=True)
class Answer:
    """What came, as far as it came."""

    fields: list[Pair] = field(default_factory=list)
    body: bytes = b""
    trailers: list[Pair] = field(default_factory=list)
    over: bool = False

    @property
    def status(self) -> int:
        """0 = there is no head."""
        return int(dict(self.fields).get(b":status", b"0"))


async def answer_of(
    url: str, path: str, host: str | None, tls: ClientContext | None
) -> Answer | None:
    """What a GET of `path` gets from the server at `url`; None: it agreed on HTTP/1.1, as it may
    where that was offered too."""
    server = parse_server(url)
    return await exchange(server, tls, _head(server, b"GET", path.encode(), host))


async def health_of(
    url: str, service: str, host: str | None, tls: ClientContext | None, timeout: float
) -> tuple[bool, str] | None:
    """What gRPC's health protocol says of a service; None as above."""
    server = parse_server(url)
    head = _head(server, b"POST", probe_grpc.PATH, host) + probe_grpc.fields(timeout)
    answer = await exchange(server, tls, head, probe_grpc.message(service))
    if answer is None:
        return None
    return probe_grpc.judged(answer.fields, answer.body, answer.trailers, service)


def _head(server: Server, method: bytes, path: bytes, host: str | None) -> list[Pair]:
    authority = host or (f"[{server.host}]" if ":" in server.host else server.host)
    if host is None and server.port not in (80, 443):
        authority += f":{server.port}"
    return [
        (b":method", method),
        (b":scheme", server.scheme.encode()),
        (b":authority", authority.encode()),
        (b":path", path),
        (b"user-agent", b"spangate-health/" + __version__.encode()),
        (b"b3", b"0"),
    ]


async def exchange(
    server: Server, tls: ClientContext | None, fields: list[Pair], body: bytes = b""
) -> Answer | None:
    """Connect, ask, and read the whole answer; None: HTTP/1.1 was agreed on. The caller limits the
    time that it takes."""
    reader, writer = await _connect(server, tls)
    try:
        secured = writer.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() != "h2":
            return None
        session = Session(server=False, rules=Rules())
        stream = session.send_request(fields, not body)
        if body:
            session.send_data(stream, body, True)
        return await _talk(session, stream, reader, writer)
    finally:
        writer.transport.abort()


async def _connect(
    server: Server, tls: ClientContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if tls is None:
        return await asyncio.open_connection(server.host, server.port)
    name = tls.server_name or server.host
    try:
        return await asyncio.open_connection(
            server.host, server.port, ssl=tls.context, server_hostname=name
        )
    except SSLError as error:
        kind, words = failure(error)
        raise TlsFailed(f"the upstream {words}", kind) from error


async def _talk(session: Session, stream: int, reader: Any, writer: Any) -> Answer:
    answer = Answer()
    heard = False
    while not answer.over:
        while data := session.take():
            writer.write(data)
        _read(session, stream, session.events(), answer)
        data = await reader.read(h2.TAKE)
        if not data:
            break
        if not heard and data[:1] == b"H":  # no frame begins so
            raise BadResponse(OTHER)
        heard = True
        _read(session, stream, session.receive(data, monotonic_ns()), answer)
        while session.waiting:
            _read(session, stream, session.receive(b"", monotonic_ns()), answer)
    if not answer.fields:
        raise UpstreamReset("the server closed the connection before any answer")
    if not answer.over:
        raise Truncated("the server closed the connection before the end of its answer")
    return answer


def _read(session: Session, stream: int, events: list[Any], answer: Answer) -> None:
    code = -1
    for event in events:
        if isinstance(event, h2.ConnectionClosed) and not answer.over:
            why = event.debug_data.decode("ascii", "replace")
            raise BadResponse(f"the server broke the rules of HTTP/2: {why}")
        if getattr(event, "stream_id", 0) != stream:
            continue
        if isinstance(event, h2.ResponseReceived):
            answer.fields = list(event.headers)
        elif isinstance(event, h2.DataReceived):
            answer.body += event.data[: MOST_BODY - len(answer.body)]
            session.acknowledge(len(event.data), stream)
        elif isinstance(event, h2.TrailersReceived):
            answer.trailers = list(event.headers)
        elif isinstance(event, h2.StreamReset):
            code = event.error_code
        elif isinstance(event, h2.StreamClosed):
            _close(event.error_code, code, answer)


def _close(code: int, reset: int, answer: Answer) -> None:
    answer.over = True
    headed = bool(answer.fields)
    if reset > 0 or (reset == 0 and not headed):
        raise reset_by_upstream(reset, headed)
    if code:
        raise ended_by_us(code, headed)
