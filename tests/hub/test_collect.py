"""`spangate collect`: the collector alone, from ready to stopped, as operators see it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.otlp.wire import count
from tests.collector.kit import batch
from tests.hub.gateway import DEADLINE, MINIMAL, fetch, gateway, said, until
from tests.hub.test_stop import Collector

COLLECTOR = """
[admin]
listen = "127.0.0.1:0"
[collector.receivers.otlp]
http = "127.0.0.1:0"
[collector.processors.batch]
timeout = "{age}"
[collector.exporters.otlp_http]
endpoint = "{url}"
[collector.pipelines.traces]
receivers = ["otlp"]
processors = ["batch"]
exporters = ["otlp_http"]
"""


@pytest.fixture
def backend() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


NOT_OURS = """
[collector.receivers."otlp/2"]
http = "192.0.2.1:1"
[collector.pipelines.logs]
receivers = ["otlp/2"]
exporters = ["otlp_http"]
"""


def spans(backend: Collector) -> int:
    return count("traces", b"".join(backend.received.get("/v1/traces", [])))


class Collecting:
    """One `spangate collect` process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "collect", str(file)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(said(line.rstrip("\n")) for line in self.process.stderr)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def line(self, pattern: str) -> re.Match[str]:
        def find() -> re.Match[str] | None:
            return next((m for line in self.lines if (m := re.search(pattern, line))), None)

        found = until(lambda: find() or (self.process.poll() is not None and "ended"))
        assert isinstance(found, re.Match), self.lines
        return found

    def ask(self, path: str) -> tuple[int, bytes]:
        status, _, body = fetch(self.admin, path)
        return status, body

    def view(self) -> Any:
        return json.loads(self.ask("/pipelines")[1])

    def api_config(self) -> Any:
        return json.loads(self.ask("/api/config")[1])

    def reloads(self) -> Any:
        return json.loads(self.ask("/stats")[1])["reloads"]

    @property
    def admin(self) -> int:
        return int(self.line(r"admin on http://127\.0\.0\.1:(\d+)")[1])

    @property
    def port(self) -> int:
        return int(self.view()["receivers"]["otlp"]["addresses"]["http"])

    def send(self, items: int = 3) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(
                "POST",
                "/v1/traces",
                batch("traces", items).payload,
                {"Content-Type": "application/x-protobuf"},
            )
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def collect(folder: Path, text: str) -> Iterator[Collecting]:
    file = folder / "collector.toml"
    file.write_text(text)
    running = Collecting(file)
    try:
        yield running
    finally:
        running.close()


def test_from_ready_to_stopped(tmp_path: Path, backend: Collector) -> None:
    with collect(tmp_path, COLLECTOR.format(age="1h", url=backend.url)) as running:
        assert running.ask("/ready")[0] == 200
        assert running.send(4) == 200
        view = running.view()
        assert view["pipelines"]["traces"]["accepted"] == 4
        assert view["pipelines"]["traces"]["processors"][0]["held"] == 4
        metrics = running.ask("/metrics")[1].decode()
        assert 'otelcol_receiver_accepted_spans_total{receiver="otlp"} 4.0' in metrics
        assert 'spangate_export_queued{exporter="otlp_http",signal="traces"} 4.0' in metrics
        assert json.loads(running.ask("/stats")[1])["ready"] is True
        assert json.loads(running.ask("/config")[1])["collector"]["pipelines"]
        assert json.loads(running.ask("/api/routes")[1]) == {"routes": []}
        assert json.loads(running.ask("/api/rates")[1])["total"]["requests"] == 0
        assert json.loads(running.ask("/api/pipelines")[1])["losses"] == []
        assert running.ask("/api/explain?url=/")[0] == 404
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
    assert spans(backend) == 4


def test_a_reload_and_one_that_is_refused(tmp_path: Path, backend: Collector) -> None:
    text = COLLECTOR.format(age="1h", url=backend.url)
    with collect(tmp_path, text) as running:
        port = running.port
        running.send(4)
        tls = text.replace("http://127", "https://127")
        tls += "[collector.exporters.otlp_http.tls]\nca = '/nowhere.pem'\n"
        refused = [
            (text.replace("timeout", "timout"), "timout"),
            (tls, r"collector\.exporters\.otlp_http\.tls\.ca: cannot use /nowhere\.pem: no such"),
            (text + NOT_OURS, "192.0.2.1"),
        ]
        for failed, (wrong, said) in enumerate(refused, 1):
            running.file.write_text(wrong)
            running.process.send_signal(signal.SIGHUP)
            running.line(said)
            until(lambda failed=failed: running.reloads()["failed"] == failed)
            assert running.port == port
            assert running.view()["pipelines"]["traces"]["processors"][0]["held"] == 4
        running.file.write_text(text.replace("1h", "10ms"))
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.reloads()["succeeded"])
        told = until(lambda: len((c := running.api_config())["history"]) == 4 and c)
        assert [one["ok"] for one in told["history"]] == [True, False, False, False]
        assert '-timeout = "1h"\n+timeout = "10ms"' in told["history"][0]["diff"]
        assert (told["generation"], told["pending_restart"]) == (5, [])
        assert running.port == port
        until(lambda: spans(backend) == 4)
        assert running.send(2) == 200
        until(lambda: spans(backend) == 6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[admin]\nlisten = ''\n", "telemetry alone has [collector]"),
        (
            "[admin]\nlisten = '127.0.0.1:0'\n[[route]]\nrespond = { status = 204 }\n",
            "there is nothing to collect",
        ),
        (COLLECTOR.format(age="5", url="http://h"), "is not a duration"),
        (
            COLLECTOR.format(age="5s", url="http://h") + NOT_OURS,
            'collector.receivers."otlp/2".http: ',
        ),
    ],
)
def test_what_cannot_be_collected(tmp_path: Path, text: str, said: str) -> None:
    with collect(tmp_path, text) as running:
        assert running.process.wait(DEADLINE) == 1
        until(lambda: any(said in line for line in running.lines))


def test_without_an_admin_port(tmp_path: Path, backend: Collector) -> None:
    text = COLLECTOR.format(age="10ms", url=backend.url).replace('"127.0.0.1:0"', '""', 1)
    with collect(tmp_path, text) as running:
        port = int(running.line(r"otlp http on port (\d+)")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        connection.request("GET", "/v1/traces")
        assert connection.getresponse().status == 405
        connection.close()


GATEWAY = """
[collector.receivers.otlp]
http = "127.0.0.1:0"
[collector.exporters.otlp_http]
endpoint = "{url}"
[collector.pipelines.traces]
receivers = ["gateway", "otlp"]
exporters = ["otlp_http"]
"""


def test_the_gateway_is_a_receiver_among_others(tmp_path: Path, backend: Collector) -> None:
    more = GATEWAY.format(url=backend.url)
    with gateway(tmp_path, MINIMAL.format(more=more), workers=1) as hub:
        assert hub.get() == "pong"
        hub.ask("/metrics")  # brings the span up
        until(lambda: spans(backend) == 1)
        view = json.loads(hub.ask("/pipelines")[2])
        assert view["receivers"]["gateway"]["signals"]["traces"]["accepted"] == 1
        assert hub.values()["otelcol_exporter_sent_spans_total", (("exporter", "otlp_http"),)] == 1
        assert hub.end() == 0


YAML = """
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:0
processors:
  transform:
    trace_statements:
      - set(span.name, "{name}")
exporters:
  otlphttp:
    endpoint: {url}
    compression: none
extensions:
  health_check:
    endpoint: 127.0.0.1:0
  zpages:
service:
  extensions: [health_check, zpages]
  pipelines:
    traces:
      receivers: [otlp]
      processors: [transform]
      exporters: [otlphttp]
"""


def test_a_collector_s_yaml_from_ready_to_stopped(tmp_path: Path, backend: Collector) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(YAML.format(name="one", url=backend.url))
    running = Collecting(file)
    try:
        assert running.ask("/ready")[0] == 200
        assert running.line(r"config\.yaml:18: warning: extensions\.zpages: zpages is not there")
        assert running.send() == 200
        until(lambda: spans(backend) == 3)
        assert b"one" in b"".join(backend.received["/v1/traces"])
        file.write_text(YAML.format(name="two", url=backend.url))
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.reloads()["succeeded"] == 1)
        assert running.send() == 200
        until(lambda: spans(backend) == 6)
        assert b"two" in b"".join(backend.received["/v1/traces"])
        file.write_text(YAML.format(name="two", url="nowhere"))
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.reloads()["failed"] == 1)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
    finally:
        running.close()


def test_a_collector_s_yaml_is_no_gateway(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(YAML.format(name="one", url="http://127.0.0.1:1"))
    ran = subprocess.run(
        [sys.executable, "-m", "proxy", "run", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert ran.returncode == 1
    assert f"write spangate collect {file}" in ran.stderr


def test_everything_wrong_with_a_collector_s_yaml_is_told(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    text = YAML.format(name="one", url="nowhere").replace("otlp:", "filelog:", 1)
    file.write_text(text.replace("set(span.name", "sett(span.nam"))
    ran = subprocess.run(
        [sys.executable, "-m", "proxy", "check", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    lines = [line.removeprefix(f"{tmp_path}/") for line in ran.stdout.splitlines()]
    assert ran.returncode == 1
    for begins in (
        "config.yaml:3: warning: receivers.filelog: no pipeline names it",
        "config.yaml:10: processors.transform.trace_statements[0]: there is no editor 'sett'",
        "config.yaml:13: exporters.otlphttp.endpoint: this is not an OTLP URL",
        "config.yaml:18: warning: extensions.zpages",
        "config.yaml:23: service.pipelines.traces.receivers[0]: there is no receiver 'otlp'",
    ):
        assert any(line.startswith(begins) for line in lines), (begins, lines)


def test_it_watches_its_file_and_reloads_for_the_admin_port(
    tmp_path: Path, backend: Collector
) -> None:
    text = "watch = true\n" + COLLECTOR.format(age="1h", url=backend.url)
    text = text.replace("[admin]", '[admin]\ntoken = "t"')
    with collect(tmp_path, text) as running:
        assert running.ask("/ready")[0] == 200
        running.file.write_text(text.replace("1h", "nonsense"))
        until(lambda: running.reloads()["failed"] == 1)
        running.file.write_text(text.replace("1h", "10ms"))
        until(lambda: running.reloads()["succeeded"] == 1)
        token = {"Authorization": "Bearer t"}
        status, _, body = fetch(running.admin, "/reload", token, "POST")
        assert (status, json.loads(body)) == (200, {"generation": 4, "warnings": []})
        assert fetch(running.admin, "/reload", method="POST")[0] == 401
        assert fetch(running.admin, "/upstreams/u/e/drain", token, "POST")[0] == 404
        assert running.send(2) == 200
        until(lambda: spans(backend) == 2)
