"""Telemetry across an upgrade: nothing is lost, and the books of both processes balance."""

from __future__ import annotations

import os
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.collector.kit import batch
from tests.hub.gateway import DEADLINE, MINIMAL, until
from tests.hub.test_stop import Collector
from tests.hub.upgrades import Crowd, Followed, comes_anew, followed, gone, keeps_alive
from tests.ports import free_port

PIPELINE = """
[collector.receivers.otlp]
http = "127.0.0.1:{receiver}"
[collector.exporters.otlp_http]
endpoint = "{url}"
{queue}
[collector.pipelines.traces]
receivers = ["gateway", "otlp"]
exporters = ["otlp_http"]
"""


@pytest.fixture
def sink() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def ids(sink: Collector) -> list[bytes]:
    """Of all spans that arrived."""
    bodies = list(sink.received.get("/v1/traces", []))
    return [span_id for body in bodies for span_id in _ids(body)]


@cache  # there are thousands, and they are looked at again and again
def _ids(body: bytes) -> list[bytes]:
    return [
        span.span_id
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def sends(port: int) -> Callable[[], Callable[[], None]]:
    """An application that exports one span at a time, on a connection of its own each."""
    payload = bytes(batch("traces", 1).payload)

    def once() -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/traces",
            payload,
            {"Content-Type": "application/x-protobuf", "Connection": "close"},
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            assert response.status == 200

    return lambda: once


def balanced(books: dict[str, Any]) -> tuple[int, int]:
    """(created, queued) of all exporters but `recent`, each of which balances."""
    created = queued = 0
    for name, exporter in books.items():
        for book in exporter.values():
            assert book["balanced"]
            done = book["exported"] + sum(book["dropped"].values()) + book["queued"]
            assert book["created"] == done
            created += book["created"] if name != "recent" else 0
            queued += book["queued"]
    return created, queued


@pytest.mark.parametrize("processes", ["separate", "small"])
def test_nothing_is_lost_and_receivers_refuse_nobody(
    tmp_path: Path, sink: Collector, processes: str
) -> None:
    receiver = free_port()
    text = f'processes = "{processes}"\n' + MINIMAL.format(
        more=PIPELINE.format(receiver=receiver, url=sink.url, queue="")
    )
    with followed(tmp_path, text) as hub:
        with (
            Crowd(*[keeps_alive(hub.port)] * 2, comes_anew(hub.port)) as requests,
            Crowd(sends(receiver), sends(receiver)) as spans,
        ):
            hub.upgrade()
            until(lambda: hub.process.poll() is not None)
            seen = spans.answered
            until(lambda: spans.answered > seen + 20 or spans.wrong)
        assert (requests.wrong, spans.wrong) == ([], [])
        before = until(lambda: hub.stats()["before"]["export"])
        made = requests.answered + spans.answered
        until(lambda: len(ids(sink)) >= made)
        assert len(ids(sink)) == made
        first, left = balanced(before)
        second, _ = balanced(hub.stats()["export"])
        assert (first + second, left) == (made, 0)


def test_a_queue_on_disk_goes_from_one_to_the_other(tmp_path: Path) -> None:
    port, receiver = free_port(), free_port()
    queue = f'sending_queue = {{ storage = "{tmp_path}/queue" }}'
    text = MINIMAL.format(
        more=PIPELINE.format(receiver=receiver, url=f"http://127.0.0.1:{port}", queue=queue)
    )
    with followed(tmp_path, text) as hub:
        made = requests(hub, 30)
        until(lambda: balanced(hub.stats()["export"])[0] == made)
        hub.upgrade()
        made += requests(hub, 30)
        hub.upgrade()
        made += requests(hub, 30)
        until(lambda: hub.process.poll() is not None and gone(hub.pids[1]))
        sink = Collector.__new__(Collector)
        _serve(sink, port)
        try:
            until(lambda: len(set(ids(sink))) >= made)
            assert len(set(ids(sink))) == made
            os.kill(hub.pid, signal.SIGTERM)
            until(lambda: gone(hub.pid))
        finally:
            sink.server.shutdown()
            sink.server.server_close()


def requests(hub: Followed, count: int) -> int:
    for _ in range(count):
        assert hub.get() == "pong"
    return count


def _serve(sink: Collector, port: int) -> None:
    """A sink that comes back at the place where there was none."""
    model = Collector()
    handler = model.server.RequestHandlerClass
    model.server.shutdown()
    model.server.server_close()
    sink.received = model.received
    sink.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=sink.server.serve_forever, args=(0.05,), daemon=True).start()
