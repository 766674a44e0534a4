"""What the recent store costs: `python -m benchmarks.micro_recent [--spans 30000]`.

Storing in µs a span: what a gateway's worker sends, and what an application does. Then each
question over that many spans, of traces of six as the demo has them: ms in all, the longest of its
steps (nobody else has the collector's loop meanwhile), their number, and the size of the answer.
All are times of the CPU, so that what else runs on the machine changes them little.
"""

from __future__ import annotations

import argparse
import time
from urllib.parse import quote

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.otlp.envelope import Envelope
from proxy.recent.desk import Desk, Reply
from proxy.recent.ring import Ring

MS, SECOND = 1_000_000, 1_000_000_000
NOW = 1_800_000_000 * SECOND
BATCH = 300  # spans of a worker's batch at full load
OWN = Envelope({"service.name": "spangate"})

UPSTREAMS = ("shop", "orders", "payments")
TRACEQL = '{resource.service.name="spangate" && span.http.response.status_code>=500 && kind=server}'
QUESTIONS = (
    "/api/traces",
    "/api/traces?q=orders/4711",
    "/api/traces?error=true",
    "/api/map",
    "/api/map",  # the second one looks at what is new
    "/jaeger/api/services",
    "/jaeger/api/traces?service=spangate&limit=20",
    "/jaeger/api/traces?service=spangate&limit=1500",
    '/jaeger/api/traces?service=orders&limit=20&tags={"error":"true"}',
    "/jaeger/api/v3/trace-summaries?query.serviceName=spangate&query.searchDepth=100",
    "/jaeger/api/v3/traces?query.serviceName=spangate&query.searchDepth=20",
    "/jaeger/api/dependencies",
    "/zipkin/api/v2/services",
    "/zipkin/api/v2/traces?serviceName=spangate&limit=10",
    "/zipkin/api/v2/traces?annotationQuery=error&limit=1000",
    "/zipkin/api/v2/autocompleteValues?key=http.route",
    f"/tempo/api/search?q={quote(TRACEQL)}",
    f"/tempo/api/search?q={quote('{name=~`.*/orders/.*`}')}",
    "/tempo/api/search?tags=http.route%3Dorders",
    "/tempo/api/v2/search/tags",
    "/tempo/api/v2/search/tag/span.http.route/values",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--spans", type=int, default=30_000)
    given = parser.parse_args()
    batches = [batch(number) for number in range(given.spans // BATCH)]
    ring = Ring(256 << 20, 16 << 20)
    store(ring, batches, own=True)
    store(Ring(256 << 20, 16 << 20), batches, own=False)
    desk = Desk(ring)
    trace = batches[-1][-1].trace_id.hex()
    for target in (*QUESTIONS, f"/api/traces/{trace}", f"/tempo/api/traces/{trace}"):
        ask(desk, target)


def batch(number: int) -> list[Span]:
    spans: list[Span] = []
    for place in range(BATCH // 6):
        spans += trace(number * BATCH // 6 + place)
    return spans


def trace(number: int) -> list[Span]:
    """Shop asks orders, orders asks payments, as the gateway tells it."""
    spans: list[Span] = []
    parent = b""
    start = NOW - 30 * SECOND + number * MS
    for hop, upstream in enumerate(UPSTREAMS):
        failed = number % 50 == 0 and hop == 2
        server, client = (number * 8 + hop * 2 + 1, number * 8 + hop * 2 + 2)
        name = f"GET /{upstream}/{{id}}"
        common: dict[str, str | int] = {
            "server.address": "127.0.0.1",
            "server.port": 8000 + hop,
        }
        spans.append(
            span(number, server, parent, name, 2, start, failed, {
                **common, "http.request.method": "GET", "url.path": f"/{upstream}/{number}",
                "http.response.status_code": 502 if failed else 200, "spangate.route": upstream,
                "http.route": f"/{upstream}/{{id}}", "client.address": "192.0.2.7",
                "user_agent.original": "curl/8.5", "url.scheme": "http",
            })
        )  # fmt: skip
        spans.append(
            span(number, client, spans[-1].span_id, name, 3, start, failed, {
                **common, "http.request.method": "GET", "peer.service": upstream,
                "spangate.upstream": upstream, "url.template": f"/{upstream}/{{id}}",
            })
        )  # fmt: skip
        parent = spans[-1].span_id
    return spans


def span(  # noqa: PLR0913
    number: int, own: int, parent: bytes, name: str, kind: int, start: int, failed: bool,
    attributes: dict[str, str | int],
) -> Span:  # fmt: skip
    made = Span(
        trace_id=(number * 0x9E3779B97F4A7C15 % 2**128).to_bytes(16, "big"),
        span_id=own.to_bytes(8, "big"),
        parent_span_id=parent,
        name=name,
        kind=kind,  # type: ignore[arg-type]
        start_time_unix_nano=start,
        end_time_unix_nano=start + 5 * MS + number % 7 * MS,
    )
    if failed:
        made.status.code = 2  # type: ignore[assignment]
    for key, value in attributes.items():
        told = made.attributes.add(key=key).value
        if isinstance(value, int):
            told.int_value = value
        else:
            told.string_value = value
    return made


def store(ring: Ring, batches: list[list[Span]], own: bool) -> None:
    datas: list[bytes] = []
    for spans in batches:
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        scope = group.scope_spans.add()
        scope.spans.extend(spans)
        if not own:
            group.resource.attributes.add(key="service.name").value.string_value = "app"
        datas.append(scope.SerializeToString() if own else request.SerializeToString())
    envelope = OWN if own else None
    begin = time.thread_time()
    for number, data in enumerate(datas):
        ring.add("traces", data, envelope, BATCH, NOW - 30 * SECOND + number * 100 * MS)
    took = time.thread_time() - begin
    who = "a worker's" if own else "an application's"
    size = sum(map(len, datas)) / ring.spans
    print(f"storing {who}: {took / ring.spans * 1e6:.2f} µs a span of {size:.0f} bytes")


def ask(desk: Desk, target: str) -> None:
    steps = desk.ask(target, "application/json", NOW)
    longest, number, begin = 0.0, 0, time.thread_time()
    reply: Reply | None = None
    while reply is None:
        before = time.thread_time()
        try:
            next(steps)
            number += 1
        except StopIteration as stop:
            reply = stop.value
        longest = max(longest, time.thread_time() - before)
    took = time.thread_time() - begin
    print(
        f"{took * 1e3:7.1f} ms, longest step {longest * 1e3:5.1f}, {number:3} steps,"
        f" {len(reply.body) / 1024:7.0f} KiB, {reply.status}  {target[:90]}"
    )


if __name__ == "__main__":
    main()
