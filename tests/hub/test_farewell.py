"""A stop with a dead back end: what is lost is told, once for each exporter, and why."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.hub.gateway import DEADLINE, MINIMAL, gateway, until
from tests.hub.test_collect import collect

DEAD = """
[collector.exporters."{type}/dead"]
endpoint = "{endpoint}"
retry_on_failure = {{ initial_interval = "1h", max_interval = "1h", max_elapsed_time = "0s" }}
"""
COLLECTOR = """
[admin]
listen = "127.0.0.1:0"
[collector.receivers.otlp]
http = "127.0.0.1:0"
[collector.exporters.debug]
[collector.pipelines.traces]
receivers = ["otlp"]
exporters = ["{type}/dead", "debug"]
"""
# Port 1 is nobody's.
BACK_ENDS = [
    ("otlp_http", "http://127.0.0.1:1"),
    ("otlp_grpc", "127.0.0.1:1"),
    ("zipkin", "http://127.0.0.1:1/api/v2/spans"),
    ("otlp_websocket", "ws://127.0.0.1:1"),
]


@pytest.mark.parametrize(("type", "endpoint"), BACK_ENDS)
def test_the_collector_says_what_it_could_not_deliver(
    tmp_path: Path, type: str, endpoint: str
) -> None:
    if type == "otlp_grpc":
        endpoint = f"http://{endpoint}"
    text = COLLECTOR.format(type=type) + DEAD.format(type=type, endpoint=endpoint)
    with collect(tmp_path, text) as running:
        for _ in range(2):
            assert running.send(617) == 200
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
        running.close()
        told = [line for line in running.lines if "not delivered" in line]
    assert len(told) == 1, running.lines
    assert f"exporter {type}/dead: 1,234 spans not delivered: " in told[0]
    assert "connection refused" in told[0].lower()


def test_who_cuts_the_stop_short_is_told_too(tmp_path: Path) -> None:
    endless = DEAD.replace('"1h"', '"100ms"').format(type="otlp_http", endpoint=BACK_ENDS[0][1])
    with collect(tmp_path, COLLECTOR.format(type="otlp_http") + endless) as running:
        assert running.send(1) == 200
        running.process.send_signal(signal.SIGTERM)
        until(lambda: running.ask("/ready")[0] == 503)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 1
        running.close()
    assert any("1 span not delivered" in line for line in running.lines), running.lines


@pytest.mark.parametrize("processes", ["", 'processes = "small"\n'])
def test_the_gateway_says_it_and_ends_well(tmp_path: Path, processes: str) -> None:
    export = """
    [export]
    otlp = ["http://127.0.0.1:1"]
    signals = ["traces"]
    batch_age = "10ms"
    retry = { initial = "1h", max = "1h", elapsed = "0s" }
    """
    with gateway(tmp_path, processes + MINIMAL.format(more=export)) as hub:
        for _ in range(3):
            assert hub.get("/") == "pong"
        until(lambda: hub.stats()["export"]["http://127.0.0.1:1"]["traces"]["queued"] == 3)
        hub.signal(signal.SIGTERM)
        assert hub.process.wait(DEADLINE) == 0
        hub.wait_for_line(
            r"exporter http://127.0.0.1:1: 3 spans not delivered: .*connection refused"
        )


def test_nothing_is_said_when_nothing_is_lost(tmp_path: Path) -> None:
    text = COLLECTOR.format(type="otlp_http").replace('"otlp_http/dead", ', "")
    with collect(tmp_path, text) as running:
        assert running.send(3) == 200
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
        running.close()
    assert not any("not delivered" in line for line in running.lines)
