"""CPU of the processors for each span: `python -m benchmarks.micro_processors`.

Requests as SDKs send them: 100 spans of 12 attributes, about 650 bytes each, four spans to a
trace. The payload is new to each call, as from a socket; the next stage only says yes. For
comparison: protobuf's own parsing and writing of the same bytes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector import registry
from proxy.collector.batch import Batch
from proxy.collector.context import Context
from proxy.config.load import loads

SPANS, PER_TRACE = 100, 4
REQUESTS = 400  # different ones: more traces than the sampler remembers
ROUNDS = 3

CASES = [
    ("attributes", 'actions = [{ action = "insert", key = "team", value = "shop" }]'),
    ("attributes", 'actions = [{ action = "upsert", key = "http.route", value = "/x" }]'),
    ("attributes", 'actions = [{ action = "delete", key = "secret" }]'),
    ("attributes", 'actions = [{ action = "hash", key = "client.address" }]'),
    ("resource", 'attributes = [{ action = "upsert", key = "team", value = "shop" }]'),
    ("resource_detection", 'detectors = ["host", "container"]'),
    ("probabilistic_sampler", "sampling_percentage = 100"),
    ("probabilistic_sampler", "sampling_percentage = 50"),
    ("probabilistic_sampler", "sampling_percentage = 10"),
    ("probabilistic_sampler", 'sampling_percentage = 50\nmode = "proportional"'),
    ("filter", """spans = ['attributes["http.response.status_code"] == 404']"""),
    ("filter", """spans = ['kind == "client" and name matches "^GET /health"']"""),
    ("transform", """spans = ['name = concat(attributes["http.route"], "!")']"""),
    ("redaction", 'allow_all_keys = true\nblocked_kinds = ["card", "email", "token"]'),
]


class Taker:
    """The stage behind."""

    def consume(self, batch: Batch) -> bool:
        return True


def request(rng: random.Random, state: str = "") -> bytes:
    made = ExportTraceServiceRequest()
    around = made.resource_spans.add()
    for key in ("service.name", "service.version", "host.name", "telemetry.sdk.language"):
        around.resource.attributes.add(key=key).value.string_value = f"value of {key}"
    scope = around.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.flask"
    for number in range(SPANS):
        if number % PER_TRACE == 0:
            trace = rng.randbytes(16)
        span = scope.spans.add(
            trace_id=trace, span_id=rng.randbytes(8), parent_span_id=rng.randbytes(8),
            name="GET /api/orders/{id}", kind=2, trace_state=state,
            start_time_unix_nano=1_790_000_000_000_000_000 + number,
            end_time_unix_nano=1_790_000_000_012_000_000 + number,
        )  # fmt: skip
        for key, value in ATTRIBUTES.items():
            pair = span.attributes.add(key=key).value
            if isinstance(value, int):
                pair.int_value = value
            else:
                pair.string_value = value
    return made.SerializeToString()


ATTRIBUTES: dict[str, str | int] = {
    "http.request.method": "GET",
    "url.scheme": "https",
    "url.path": "/api/orders/1234",
    "url.query": "page=2&sort=price",
    "http.route": "/api/orders/{id}",
    "http.response.status_code": 200,
    "server.address": "shop.example",
    "server.port": 443,
    "client.address": "192.0.2.7",
    "network.protocol.version": "1.1",
    "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0",
    "enduser.id": "someone-1234",
}


def stage(type_: str, toml: str) -> Any:
    loaded = loads(f"[collector.processors.{type_}]\n{toml}\n", "bench.toml", {})
    component = registry.find("processor", type_)
    assert component is not None and loaded.config.collector is not None
    context = Context(id=type_, kind="processor", next=Taker(), resource={"host.name": "bench"})
    return component.factory()(loaded.config.collector.processors[type_], context)


def microseconds(act: Callable[[bytes], object], payloads: list[bytes]) -> float:
    """A span, the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for payload in payloads:
            act(payload)
        best = min(best, time.process_time() - began)
    return best / len(payloads) / SPANS * 1e6


def through(*stages: Any) -> Callable[[bytes], object]:
    for before, behind in pairwise(stages):
        before._next = behind

    def act(payload: bytes) -> object:
        return stages[0].consume(Batch("traces", payload, SPANS))

    return act


def main() -> None:
    rng = random.Random(7)
    payloads = [request(rng) for _ in range(REQUESTS)]
    stated = [request(rng, "ot=th:8") for _ in range(REQUESTS)]
    print(f"{len(payloads[0]) // SPANS} bytes a span; µs of CPU a span")
    for type_, toml in CASES:
        time_ = microseconds(through(stage(type_, toml)), payloads)
        print(f"{time_:7.2f}  {type_}: {' '.join(toml.split())}")
    sampler = 'sampling_percentage = 50\nmode = "proportional"'
    time_ = microseconds(through(stage("probabilistic_sampler", sampler)), stated)
    print(f"{time_:7.2f}  probabilistic_sampler, proportional, spans with ot=th:8")
    both = through(stage(*CASES[0]), stage(*CASES[7]))
    print(f"{microseconds(both, payloads):7.2f}  attributes (insert), then sampler (50 %)")
    upsert = through(stage(*CASES[1]), stage(*CASES[7]))
    print(f"{microseconds(upsert, payloads):7.2f}  attributes (upsert of all), then sampler (50 %)")
    parse = microseconds(ExportTraceServiceRequest.FromString, payloads)
    print(f"{parse:7.2f}  protobuf, parsing alone")


if __name__ == "__main__":
    main()
