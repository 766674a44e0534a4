"""Spans as services send them, for what stores and searches them; and whoever sends them.

Traces of six spans, two for each of three services, an exporter for each service, so that a trace
comes in three requests. One trace in a hundred has failed, durations are log-normal (median 20 ms),
a span takes about 400 bytes. The second time that a request is sent its traces are new ones.
"""

from __future__ import annotations

import math
import random
import socket
import time
from collections.abc import Iterator

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVICES = ("frontend", "orders", "payments")
TRACES = 50  # in a request
SPANS = 2 * TRACES  # in a request
MARK = b"\xf5spanga\xf5"  # first half of every trace id, replaced by the number of the round
FAILED = 0.01
MEDIAN, SPREAD = 0.020, 0.8  # seconds, sigma


def requests(count: int) -> list[bytes]:
    """So many serialised requests, three for each fifty traces; the same ones every time."""
    chance = random.Random(20261101)
    found: list[bytes] = []
    while len(found) < count:
        traces = [_Trace(chance) for _ in range(TRACES)]
        found += [_request(place, traces, chance) for place in range(len(SERVICES))]
    return found[:count]


class _Trace:
    """What the requests of one trace have in common."""

    def __init__(self, chance: random.Random) -> None:
        self.id = MARK + chance.randbytes(8)
        self.ids = [chance.randbytes(8) for _ in range(2 * len(SERVICES))]
        self.took = chance.lognormvariate(math.log(MEDIAN), SPREAD)
        self.failed = chance.random() < FAILED
        self.ago = chance.random()  # seconds before the request is sent


def _request(place: int, traces: list[_Trace], chance: random.Random) -> bytes:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    about = {"service.name": SERVICES[place], "host.name": "bench", "service.version": "1.2.3"}
    for key, value in about.items():
        resource.resource.attributes.add(key=key).value.string_value = value
    scope = resource.scope_spans.add()
    scope.scope.name = "io.example.instrumentation.http"
    now = time.time_ns()
    for trace in traces:
        for inner in (0, 1):
            scope.spans.append(_span(trace, 2 * place + inner, now, chance))
    return message.SerializeToString()


def _span(trace: _Trace, depth: int, now: int, chance: random.Random) -> Span:
    start = now - int(1e9 * (trace.ago + trace.took)) + depth * 100_000
    kind = Span.SPAN_KIND_CLIENT if depth % 2 else Span.SPAN_KIND_SERVER
    number = chance.randrange(100_000)
    span = Span(
        trace_id=trace.id,
        span_id=trace.ids[depth],
        parent_span_id=trace.ids[depth - 1] if depth else b"",
        name="GET /api/orders/{id}",
        kind=kind,
        start_time_unix_nano=start,
        end_time_unix_nano=start + max(1000, int(trace.took * 1e9) - depth * 200_000),
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
    status = 500 if trace.failed else 200
    span.attributes.add(key="http.response.status_code").value.int_value = status
    span.attributes.add(key="server.port").value.int_value = 443
    if trace.failed:
        span.status.code = Status.STATUS_CODE_ERROR
    return span


def rounds(prepared: list[bytes]) -> Iterator[bytes]:
    """`prepared` again and again, with new trace ids each time."""
    number = 0
    while True:
        number += 1
        mark = number.to_bytes(8, "big")
        for payload in prepared:
            yield payload.replace(MARK, mark)


class Sender:
    """One connection to an OTLP/HTTP receiver; it asks, waits and asks again."""

    def __init__(self, port: int) -> None:
        self._link = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.refused = 0

    def send(self, payload: bytes) -> None:
        """Until it is taken; `refused` counts how often it was not."""
        head = (
            "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/x-protobuf\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        while not self._ask(head.encode() + payload):
            self.refused += 1
            time.sleep(0.01)

    def close(self) -> None:
        self._link.close()

    def _ask(self, data: bytes) -> bool:
        self._link.sendall(data)
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._more()
        length = answer[:end].lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        while len(answer) < end + 4 + int(length or 0):
            answer += self._more()
        return answer.startswith(b"HTTP/1.1 200")

    def _more(self) -> bytes:
        data = self._link.recv(65536)
        if not data:
            raise ConnectionError("the receiver has closed the connection")
        return data
