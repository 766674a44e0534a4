"""A user meets an error: one search in Elasticsearch, by the id of the trace, finds all of it.

The gateway with its collector, a sidecar and the service behind it are processes; the service tells
by OpenTelemetry's SDK. Elasticsearch is the strict server of the tests, and gets everything twice,
in OpenTelemetry's mapping and in Elastic's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.hub.gateway import fetch, gateway
from tests.otlp.fake_elastic import FakeElastic
from tests.ports import free_port
from tests.scenarios.kit import sidecar
from tests.scenarios.service import service

GATEWAY = """
listen = "127.0.0.1:0"
resource = {{ "service.name" = "edge" }}
[admin]
listen = "127.0.0.1:0"
[[route]]
path = "/orders/*"
to = "http://127.0.0.1:{orders}"
[collector.receivers.otlp]
http = "127.0.0.1:{otlp}"
[collector.exporters.elasticsearch]
endpoint = "{elastic}"
flush = {{ interval = "50ms" }}
[collector.exporters."elasticsearch/ecs"]
endpoint = "{elastic}"
flush = {{ interval = "50ms" }}
mapping = {{ mode = "ecs" }}
[collector.pipelines.traces]
receivers = ["gateway", "otlp"]
exporters = ["elasticsearch", "elasticsearch/ecs"]
[collector.pipelines.logs]
receivers = ["gateway", "otlp"]
exporters = ["elasticsearch", "elasticsearch/ecs"]
[collector.pipelines.metrics]
receivers = ["otlp"]
exporters = ["elasticsearch"]
"""
FAILS, FINE = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"
USER = "b7ad6b7169203331"
SPANS = [  # each the child of the one before
    ("edge", "SERVER"),
    ("edge", "CLIENT"),
    ("orders", "SERVER"),  # of the sidecar, as the next
    ("orders", "CLIENT"),
    ("orders", "SERVER"),
]
# Of the fine request the service itself logs nothing.
RECORDS = {FAILS: {"edge": 1, "orders": 2}, FINE: {"edge": 1, "orders": 1}}
OTEL, ECS = ".otel-default", "-generic-default"


def as_opentelemetry(source: dict[str, Any]) -> dict[str, Any]:
    """What both mappings say."""
    return {
        "service": source["resource"]["attributes"]["service.name"],
        "span": source["span_id"],
        "parent": source.get("parent_span_id"),
        "kind": source.get("kind", "").upper(),
        "ended": source.get("status", {}).get("code"),
        "severity": source.get("severity_text"),
        "body": source.get("body", {}).get("text"),
    }


def as_common_schema(source: dict[str, Any]) -> dict[str, Any]:
    return {
        "service": source["service.name"],
        "span": source["span.id"],
        "parent": source.get("parent.id"),
        "kind": source.get("span.kind", "").upper(),
        "ended": {"failure": "Error", "success": "Unset"}.get(source.get("event.outcome", "")),
        "severity": source.get("log.level"),
        "body": source.get("message"),
    }


@asynccontextmanager
async def told(folder: Path) -> AsyncIterator[FakeElastic]:
    """Where all is told that follows from a request that fails and one that does not."""
    otlp = free_port()
    collector = f"http://127.0.0.1:{otlp}"
    async with FakeElastic() as elastic:
        with service("orders", collector) as app, sidecar(folder, "orders", app, collector) as port:
            text = GATEWAY.format(orders=port, otlp=otlp, elastic=elastic.url)
            with gateway(folder, text, workers=1) as edge:
                for trace, path, expected in ((FINE, "/7", 200), (FAILS, "/fail", 500)):
                    headers = {"traceparent": f"00-{trace}-{USER}-01"}
                    done = await asyncio.to_thread(fetch, edge.port, f"/orders{path}", headers)
                    assert done[0] == expected
                yield elastic


async def test_one_search_finds_all_of_an_error(tmp_path: Path) -> None:
    amounts = {t: 2 * (len(SPANS) + sum(RECORDS[t].values())) for t in RECORDS}
    async with told(tmp_path) as elastic:
        await elastic.wait_for(lambda: all(len(elastic.traced(t)) >= amounts[t] for t in RECORDS))
        await elastic.wait_for(lambda: measured(elastic) >= {"sidecar", "service"})
    for trace in (FAILS, FINE):
        found = elastic.traced(trace)
        check(trace, [(i, as_opentelemetry(s)) for i, s in found if i.endswith(OTEL)])
        check(trace, [(i, as_common_schema(s)) for i, s in found if i.endswith(ECS)])


def check(trace: str, found: list[tuple[str, dict[str, Any]]]) -> None:
    spans = [document for index, document in found if index.startswith("traces-")]
    records = [document for index, document in found if index.startswith("logs-")]
    line = from_the_user(spans)
    assert [(s["service"], s["kind"]) for s in line] == SPANS
    assert {s["ended"] for s in line} == {"Error" if trace == FAILS else "Unset"}
    assert Counter(r["service"] for r in records) == RECORDS[trace]
    assert {r["severity"] for r in records} == {"ERROR" if trace == FAILS else "INFO"}
    assert ("no such order" in {r["body"] for r in records}) == (trace == FAILS)
    # Each is of the span in which it happened: two access logs, and the service's own.
    servers = [s["span"] for s in line if s["kind"] == "SERVER"]
    assert sorted(r["span"] for r in records) == sorted(servers[: len(records)])


def from_the_user(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each the child of the one before; all of them."""
    children = {span["parent"]: span for span in spans}
    assert len(children) == len(spans)
    line, at = [], USER
    while at in children:
        line.append(children[at])
        at = line[-1]["span"]
    assert len(line) == len(spans)
    return line


def measured(elastic: FakeElastic) -> set[str]:
    """Whose metrics are there, under the service's name."""
    found: set[str] = set()
    for source in elastic.found(f"metrics-generic{OTEL}"):
        if source["resource"]["attributes"]["service.name"] == "orders":
            found |= {"service"} if "orders.handled" in source["metrics"] else set()
            found |= {"sidecar"} if "http.server.request.duration" in source["metrics"] else set()
    return found
