"""TERM: readiness goes first, what runs is finished, telemetry is flushed, exit code 0."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tests.hub.gateway import DEADLINE, FAKE, MINIMAL, gateway, is_alive, until


class Collector:
    """Takes OTLP over HTTP and keeps the bodies by path."""

    def __init__(self) -> None:
        received: dict[str, list[bytes]] = {}
        self.received = received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # whoever sent it was killed meanwhile, and sends it again
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                received.setdefault(self.path, []).append(body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def counters(self) -> dict[str, float]:
        """The last value of each sum without attributes or with several, added up, by name."""
        request = ExportMetricsServiceRequest.FromString(self.received["/v1/metrics"][-1])
        return {
            metric.name: sum(p.as_int or p.as_double for p in metric.sum.data_points)
            for metric in request.resource_metrics[0].scope_metrics[0].metrics
        }

    def spans(self) -> int:
        """Spans of the fake worker, each of which has the 3 bytes of its name."""
        return b"".join(self.received.get("/v1/traces", [])).count(b"\x12\x03\x2a\x01s")


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_term_finishes_what_runs_and_says_unready_meanwhile(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=2, command=FAKE) as hub:
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(hub.get("/slow")))
        slow.start()
        until(lambda: sum(w["requests"] for w in hub.stats()["workers"]) == 1)
        pids = [w["pid"] for w in hub.stats()["workers"]]
        hub.signal(signal.SIGTERM)
        status, _, body = until(lambda: (r := hub.ask("/ready"))[0] == 503 and r)
        assert (status, body) == (503, b"not ready: stopping\n")
        assert hub.ask("/live")[0] == 200
        assert hub.process.wait(DEADLINE) == 0
        slow.join(DEADLINE)
        assert len(answers) == 1 and answers[0]
        assert not any(is_alive(pid) for pid in pids)
        with pytest.raises(ConnectionRefusedError):
            hub.get()


def test_the_delay_keeps_serving_while_ready_says_no(tmp_path: Path) -> None:
    delayed = MINIMAL.replace("drain_timeout", 'drain_delay = "700ms"\ndrain_timeout')
    with gateway(tmp_path, delayed.format(more=""), workers=1) as hub:
        hub.signal(signal.SIGTERM)
        until(lambda: hub.ask("/ready")[0] == 503)
        assert hub.get() == "pong"
        assert hub.process.wait(DEADLINE) == 0


def test_int_stops_as_term_does(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1) as hub:
        hub.signal(signal.SIGINT)
        assert hub.process.wait(DEADLINE) == 0


def test_a_worker_that_does_not_finish_is_killed_after_the_drain_timeout(tmp_path: Path) -> None:
    text = MINIMAL.format(more="").replace('"3s"', '"100ms"')
    with gateway(tmp_path, text, workers=1, command=FAKE) as hub:
        os.kill(hub.stats()["workers"][0]["pid"], signal.SIGSTOP)
        assert hub.end() == 0
        assert any("did not finish in time and is killed" in line for line in hub.lines)


def test_a_second_term_stops_at_once(tmp_path: Path) -> None:
    text = MINIMAL.format(more="").replace('"3s"', '"10m"')
    with gateway(tmp_path, text, workers=1, command=FAKE) as hub:
        pid = hub.stats()["workers"][0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        hub.signal(signal.SIGTERM)
        until(lambda: hub.ask("/ready")[0] == 503)
        hub.signal(signal.SIGTERM)
        assert hub.process.wait(DEADLINE) == 1
        assert not is_alive(pid)


def test_the_last_records_and_counts_are_exported(tmp_path: Path, collector: Collector) -> None:
    text = MINIMAL.format(more=f'[export]\notlp = "{collector.url}"\nmetrics_interval = "1h"')
    with gateway(tmp_path, text, workers=2, command=FAKE) as hub:
        for _ in range(7):
            hub.get()
        assert hub.end() == 0
    assert collector.spans() == 7
    sums = collector.counters()
    assert sums["spangate.downstream.connections"] == 7
    assert sums["spangate.records.created"] == 7


def test_metrics_are_exported_at_every_interval(tmp_path: Path, collector: Collector) -> None:
    text = MINIMAL.format(more=f'[export]\notlp = "{collector.url}"\nmetrics_interval = "50ms"')
    with gateway(tmp_path, text, workers=1, command=FAKE) as hub:
        hub.get()
        until(lambda: len(collector.received.get("/v1/metrics", [])) > 2)
        assert collector.counters()["spangate.downstream.connections"] == 1


@pytest.mark.parametrize("key", ["listen", "admin.listen"])
def test_a_port_in_use_is_one_line_with_address_and_remedy(tmp_path: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        places = {"listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", key: address}
        file = tmp_path / "routes.toml"
        keys = "".join(f'{name} = "{place}"\n' for name, place in places.items())
        file.write_text(keys + '[[route]]\npath = "/*"\nrespond = { status = 204 }\n')
        done = _run(file)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"cannot listen on {address}: address already in use" in done.stderr
    assert f"change `{key}`" in done.stderr


def test_a_file_that_cannot_be_used_is_refused_with_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('lissten = ":0"\n')
    done = _run(file)
    assert done.returncode == 1
    assert "lissten" in done.stderr
    assert "Traceback" not in done.stderr


def _run(file: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from proxy.hub.main import run; sys.exit(run(sys.argv[1], 1))"
    command = [sys.executable, "-c", code, str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)


def test_nothing_heavy_is_imported_before_the_workers_run() -> None:
    heavy = ("aiohttp", "grpc", "google", "opentelemetry", "prometheus_client", "click")
    code = f"import sys, proxy.hub.main; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
