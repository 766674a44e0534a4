"""A real OTLP receiver beside the test, and the traces that have come there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.hub.gateway import DEADLINE, until
from tests.otlp.fake_collector import FakeCollector

KINDS = {Span.SPAN_KIND_SERVER: "SERVER", Span.SPAN_KIND_CLIENT: "CLIENT"}


@dataclass(frozen=True)
class Seen:
    """One span, and whose it is."""

    service: str
    span: Span

    @property
    def kind(self) -> str:
        return KINDS[self.span.kind]

    @property
    def said(self) -> tuple[str, str]:
        return self.service, self.kind

    def __getitem__(self, name: str) -> Any:
        """The value of an attribute, None if it has none."""
        return next((value(a.value) for a in self.span.attributes if a.key == name), None)

    @property
    def failed(self) -> bool:
        return self.span.status.code == 2

    @property
    def tells(self) -> tuple[str, str, Any, Any]:
        """Whose it is, kind, status of HTTP and `error.type`."""
        return *self.said, self["http.response.status_code"], self["error.type"]


def value(of: AnyValue) -> Any:
    kind = of.WhichOneof("value")
    return None if kind is None else getattr(of, kind)


class Receiver:
    """What has come to the collector."""

    def __init__(self, collector: FakeCollector) -> None:
        self._collector = collector
        self.endpoint = collector.endpoint

    def spans(self) -> list[Seen]:
        return [
            Seen(_service(of.resource.attributes), span)
            for payload in list(self._collector.accepted["traces"])
            for of in ExportTraceServiceRequest.FromString(payload).resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]

    def trace(self, path: str, number: int) -> list[Seen]:
        """All spans of the trace whose root is a request for this path, once it has so many."""

        def found() -> list[Seen]:
            spans = self.spans()
            ids = {
                one.span.trace_id
                for one in spans
                if one["url.path"] == path and not one.span.parent_span_id
            }
            mine = [one for one in spans if one.span.trace_id in ids]
            return mine if len(mine) >= number else []

        return list(until(found, 2 * DEADLINE))


def _service(attributes: Any) -> str:
    return next((str(value(a.value)) for a in attributes if a.key == "service.name"), "")


def chain(spans: list[Seen]) -> list[Seen]:
    """From the root down; fails where one has more than one child, or a parent that is missing."""
    by_parent = {one.span.parent_span_id: one for one in spans}
    assert len(by_parent) == len(spans), [one.tells for one in spans]
    ordered, parent = [], b""
    while parent in by_parent:
        ordered.append(by_parent[parent])
        parent = ordered[-1].span.span_id
    assert len(ordered) == len(spans), [one.tells for one in spans]
    return ordered


@contextmanager
def receiver() -> Iterator[Receiver]:
    """In a thread of its own."""
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    made: list[FakeCollector] = []

    async def serve() -> None:
        async with FakeCollector("http") as collector:
            made.append(collector)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(DEADLINE)
        yield Receiver(made[0])
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE)
        loop.close()
