"""OpenTelemetry's old Jaeger exporters send to our receiver.

They need an environment of their own (tests/peers/jaeger_sender.py says which), whose interpreter
SPANGATE_JAEGER_SENDER names; `.ci/run` makes one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.collector.batch import Batch
from tests.collector.kit import Place

SENDER = os.environ.get("SPANGATE_JAEGER_SENDER", "")
SCRIPT = Path(__file__).parents[1] / "peers" / "jaeger_sender.py"
PROTOCOLS = ("grpc", "thrift_http", "thrift_compact")

pytestmark = pytest.mark.skipif(
    not SENDER, reason="SPANGATE_JAEGER_SENDER names no interpreter with the old exporters"
)


class Arrivals(Place):
    """Wakes who waits when something came."""

    def __init__(self) -> None:
        super().__init__("receiver", "jaeger")
        self.came = asyncio.Event()

    def consume(self, batch: Batch) -> bool:
        self.came.set()
        return super().consume(batch)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_old_sdk_is_understood(protocol: str) -> None:
    place = Arrivals()
    receiver = place.make(f'{protocol} = "127.0.0.1:0"')
    await receiver.start()
    try:
        port = str(receiver.addresses[protocol])
        process = await asyncio.create_subprocess_exec(
            SENDER or sys.executable, str(SCRIPT), protocol, "127.0.0.1", port
        )
        async with asyncio.timeout(30):
            assert await process.wait() == 0
            while place.items < 2:
                place.came.clear()
                await place.came.wait()
    finally:
        await receiver.stop(1)
    spans = {span.name: (span, resource) for span, resource in seen(place.out)}
    parent, resource = spans["parent"]
    child, _ = spans["child"]
    attributes = plain(parent.attributes)
    assert plain(resource.attributes)["service.name"] == "old-app"
    # gRPC tells resource attributes of the process and of each span, Thrift of spans only.
    assert attributes["deployment.environment"] == "test"
    assert (parent.kind, child.kind) == (2, 3)
    assert child.parent_span_id == parent.span_id
    assert child.trace_id == parent.trace_id
    assert len(parent.trace_id) == 16
    assert {key: attributes[key] for key in ("text", "yes", "number", "share")} == {
        "text": "Grüße",
        "yes": True,
        "number": -(2**40),
        "share": 0.25,
    }
    assert (child.status.code, child.status.message) == (2, "it broke")
    assert [event.name for event in parent.events] == ["happened"]
    assert plain(parent.events[0].attributes) == {"n": 1}
    (link,) = parent.links
    assert (link.trace_id.hex().lstrip("0"), link.span_id.hex().lstrip("0")) == ("ab", "cd")
    assert parent.start_time_unix_nano <= child.start_time_unix_nano
    assert parent.start_time_unix_nano < parent.end_time_unix_nano


def seen(batches: list[Batch]) -> list[tuple[Any, Any]]:
    """Spans with their resources."""
    out = []
    for batch in batches:
        message: Any = batch.message()
        for resource_spans in message.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                assert (scope_spans.scope.name, scope_spans.scope.version) == ("scope", "1.2")
                out += [(span, resource_spans.resource) for span in scope_spans.spans]
    return out


def plain(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}
