"""Both ends of the collector benchmark: what sends requests of spans, and what takes them.

    python -m benchmarks.collector_ends sink http|grpc PORT FILE [DELAY]
    python -m benchmarks.collector_ends load http|grpc PORT CONNECTIONS SECONDS SPANS

The sink counts spans and keeps their number in a file, `-` = it only takes them; it answers (over
HTTP) after DELAY seconds, `inf` = never. With a DELAY it counts names of spans instead of parsing
requests, a tenth of the work, so that it keeps up whatever comes. The load prints how many it
sent and how many requests were refused. Both are cheap and bare, since they share the machine
with what is measured.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import math
import signal
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
NAME = b"GET /api/orders/{id}"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"


def request(spans: int) -> bytes:
    """One request as an SDK of a web service sends it: about 420 bytes a span."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    for key in ("service.name", "host.name", "telemetry.sdk.language", "service.instance.id"):
        resource.resource.attributes.add(key=key).value.string_value = f"value of {key}"
    scope = resource.scope_spans.add()
    scope.scope.name = "io.example.instrumentation.http"
    for number in range(spans):
        scope.spans.append(_span(number))
    return message.SerializeToString()


def _span(number: int) -> Span:
    span = Span(
        trace_id=hashlib.md5(str(number).encode()).digest(),  # spread evenly, for samplers
        span_id=(number + 1).to_bytes(8, "big"),
        parent_span_id=number.to_bytes(8, "big") if number else b"",  # a root
        name=NAME.decode(),
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=1_700_000_000_000_000_000 + number,
        end_time_unix_nano=1_700_000_000_020_000_000 + number,
    )
    texts = {
        "http.request.method": "GET",
        "url.path": f"/api/orders/{number}",
        "url.scheme": "https",
        "http.route": "/api/orders/{id}",
        "server.address": "shop.example.com",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)",
        "network.protocol.version": "1.1",
    }
    for key, value in texts.items():
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="http.response.status_code").value.int_value = 200
    span.attributes.add(key="server.port").value.int_value = 443
    return span


class Counter:
    """Spans that came, written to a file for whoever waits for them."""

    def __init__(self, file: Path | None, *, parse: bool = True) -> None:
        self.spans = 0
        self._file = file
        self._parse = parse

    def take(self, payload: bytes) -> None:
        if self._file is None:
            return
        if not self._parse:
            self.spans += payload.count(NAME)
            return
        message = ExportTraceServiceRequest.FromString(payload)
        self.spans += sum(len(s.spans) for r in message.resource_spans for s in r.scope_spans)

    async def tell(self) -> None:
        if self._file is None:
            await asyncio.Event().wait()
            return
        new = self._file.with_suffix(".new")
        while True:
            new.write_text(json.dumps({"spans": self.spans}))
            new.rename(self._file)  # whoever reads it never finds it empty
            await asyncio.sleep(0.1)


class HttpSink(asyncio.Protocol):
    """HTTP/1.1 with Content-Length or chunks, one request at a time on a connection."""

    def __init__(self, counter: Counter, delay: float = 0.0) -> None:
        self._counter = counter
        self._delay = delay
        self._data = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end]).lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._data) < end + 4 + size:
                return
            body = bytes(self._data[end + 4 : end + 4 + size])
            self._counter.take(gzip.decompress(body) if b"content-encoding: gzip" in head else body)
            del self._data[: end + 4 + size]
            self._answer()

    def _answer(self) -> None:
        if not self._delay:
            self._transport.write(OK)
        elif self._delay < math.inf:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, OK)


async def sink(protocol: str, port: int, file: Path | None, delay: float | None = None) -> None:
    counter = Counter(file, parse=delay is None)
    if protocol == "http":
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: HttpSink(counter, delay or 0.0), "127.0.0.1", port)
    else:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])

        async def export(payload: bytes, context: Any) -> bytes:
            counter.take(payload)
            return b""

        handler = grpc.unary_unary_rpc_method_handler(export)
        service, _, method = EXPORT[1:].partition("/")
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
    await counter.tell()


class HttpLoad(asyncio.Protocol):
    """A closed loop on one connection."""

    def __init__(self, message: bytes, until: float) -> None:
        self.sent = self.refused = 0
        self.over = asyncio.get_running_loop().create_future()
        self._message = message
        self._until = until
        self._transport: Any = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        length = self._data[:end].lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if len(self._data) < end + 4 + int(length or 0):
            return
        if self._data.startswith(b"HTTP/1.1 200"):
            self.sent += 1
        else:
            self.refused += 1
        self._data = b""
        if time.monotonic() < self._until:
            self._transport.write(self._message)
        elif not self.over.done():
            self.over.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def load(protocol: str, port: int, connections: int, seconds: float, spans: int) -> None:
    body = request(spans)
    until = time.monotonic() + seconds
    run = _load_http if protocol == "http" else _load_grpc
    results = await asyncio.gather(*(run(port, body, until) for _ in range(connections)))
    sent, refused = (sum(column) for column in zip(*results, strict=True))
    print(json.dumps({"requests": sent, "refused": refused, "spans": sent * spans}))


async def _load_http(port: int, body: bytes, until: float) -> tuple[int, int]:
    head = (
        f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    _, protocol = await asyncio.get_running_loop().create_connection(
        lambda: HttpLoad(head.encode() + body, until), "127.0.0.1", port
    )
    await protocol.over
    return protocol.sent, protocol.refused


def _same(data: bytes) -> bytes:
    return data


async def _load_grpc(port: int, body: bytes, until: float) -> tuple[int, int]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    sent = refused = 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        call: Any = channel.unary_unary(EXPORT, _same, _same)
        while time.monotonic() < until:
            try:
                await call(body)
                sent += 1
            except grpc.aio.AioRpcError:
                refused += 1
    return sent, refused


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    role, protocol, *rest = sys.argv[1:]
    if role == "sink":
        delay = float(rest[2]) if len(rest) > 2 else None
        file = None if rest[1] == "-" else Path(rest[1])
        uvloop.run(sink(protocol, int(rest[0]), file, delay))
    else:
        port, connections, seconds, spans = rest
        uvloop.run(load(protocol, int(port), int(connections), float(seconds), int(spans)))


if __name__ == "__main__":
    main()
