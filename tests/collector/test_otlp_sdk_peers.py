"""OpenTelemetry's SDKs for Python and JavaScript send every signal to our receiver.

Each by every transport that it has, compressed and not, in a process of its own
(`tests/peers/otlp_sender.py`, `tests/peers/js/otlp_sender.js`): the same two spans, log record and
two metrics. `.ci/run` installs what the JavaScript one needs.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.collector.kit import Place

PEERS = Path(__file__).parents[1] / "peers"
PROTOCOLS = {
    "python": ("grpc", "http/protobuf"),
    "javascript": ("grpc", "http/protobuf", "http/json"),
}


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize(
    ("language", "protocol"), [(name, p) for name, all in PROTOCOLS.items() for p in all]
)
async def test_an_sdk_is_understood(language: str, protocol: str, compression: str) -> None:
    command = sender(language)
    place = Place("receiver", "otlp")
    receiver = place.make('grpc = "127.0.0.1:0"\nhttp = "127.0.0.1:0"')
    await receiver.start()
    try:
        port = receiver.addresses["grpc" if protocol == "grpc" else "http"]
        process = await asyncio.create_subprocess_exec(
            *command,
            protocol,
            env=environment(f"http://127.0.0.1:{port}", compression),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(40):
            _, complaint = await process.communicate()
        assert process.returncode == 0, complaint.decode()
    finally:
        await receiver.stop(1)
    assert {s: sum(b.items for b in place.out if b.signal == s) for s in place.wanted} == {
        "traces": 2,
        "metrics": 2,
        "logs": 1,
        "profiles": 0,
    }
    parent = check_spans(entries(place, "traces", "spans"))
    check_log(entries(place, "logs", "log_records"), parent)
    check_metrics(entries(place, "metrics", "metrics"))


def sender(language: str) -> list[str]:
    """The command; skips the test if what it needs is missing."""
    if language == "python":
        for package in ("opentelemetry.sdk", "opentelemetry.exporter"):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f'{package} is not installed: pip install "spangate[test]"')
        return [sys.executable, str(PEERS / "otlp_sender.py")]
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (PEERS / "js" / "node_modules" / "@opentelemetry").is_dir():
        pytest.skip("the SDK for JavaScript is not installed: npm ci --prefix tests/peers/js")
    return [node, str(PEERS / "js" / "otlp_sender.js")]


def environment(endpoint: str, compression: str) -> dict[str, str]:
    env = {name: text for name, text in os.environ.items() if name[:5] != "OTEL_"}
    env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    if (
        compression != "none"
    ):  # which Python's gRPC exporter does not take, though it is the default
        env["OTEL_EXPORTER_OTLP_COMPRESSION"] = compression
    return env


def entries(place: Place, signal: str, field: str) -> list[Any]:
    """Everything of a signal that came, from the right resource and scope."""
    out = []
    for batch in place.out:
        if batch.signal != signal:
            continue
        message: Any = batch.message()
        for resource in message.ListFields()[0][1]:
            assert plain(resource.resource.attributes)["service.name"] == "peer"
            for scope in resource.ListFields()[1][1]:
                assert (scope.scope.name, scope.scope.version) == ("scope", "1.2")
                out += list(getattr(scope, field))
    return out


def check_spans(spans: list[Any]) -> Any:
    """Returns the parent."""
    named = {span.name: span for span in spans}
    parent, child = named["parent"], named["child"]
    assert (parent.kind, child.kind) == (2, 3)
    assert (len(parent.trace_id), len(parent.span_id), parent.parent_span_id) == (16, 8, b"")
    assert (child.trace_id, child.parent_span_id) == (parent.trace_id, parent.span_id)
    assert (child.status.code, child.status.message) == (2, "it broke")
    assert plain(parent.attributes) == {
        "text": "Grüße",
        "yes": True,
        "number": -(2**40),
        "share": 0.25,
    }
    (event,) = parent.events
    assert (event.name, plain(event.attributes)) == ("happened", {"n": 1})
    (link,) = parent.links
    assert (link.trace_id.hex(), link.span_id.hex()) == ("ab".zfill(32), "cd".zfill(16))
    assert 0 < parent.start_time_unix_nano <= event.time_unix_nano <= parent.end_time_unix_nano
    return parent


def check_log(records: list[Any], parent: Any) -> None:
    (record,) = records
    assert record.time_unix_nano == 1_700_000_000_123_000_000
    assert (record.severity_number, record.severity_text) == (13, "WARN")
    assert (record.body.string_value, plain(record.attributes)) == ("it broke", {"n": 1})
    assert (record.trace_id, record.span_id) == (parent.trace_id, parent.span_id)


def check_metrics(metrics: list[Any]) -> None:
    named = {metric.name: metric for metric in metrics}
    orders, wait = named["orders"], named["wait"]
    assert (orders.unit, orders.sum.is_monotonic, orders.sum.aggregation_temporality) == (
        "{order}",
        True,
        2,
    )
    (point,) = orders.sum.data_points
    assert (value(point), plain(point.attributes)) == (3, {"kind": "a"})
    (point,) = wait.histogram.data_points
    assert (wait.unit, point.count, point.sum) == ("s", 1, 1.5)
    assert sum(point.bucket_counts) == 1
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1


def value(point: Any) -> int | float:
    found: int | float = getattr(point, point.WhichOneof("value"))
    return found


def plain(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}
