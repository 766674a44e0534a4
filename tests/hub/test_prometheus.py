"""A real Prometheus scrapes a real gateway, and says the same numbers back."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import DEADLINE, MINIMAL, Gateway, fetch, gateway, until
from tests.ports import free_port

PROMETHEUS = shutil.which("prometheus")

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
- job_name: spangate
  static_configs: [{{targets: ["127.0.0.1:{admin}"]}}]
"""


class Prometheus:
    def __init__(self, folder: Path, hub: Gateway, rules: str = "") -> None:
        self.port = free_port()
        (folder / "rules.yml").write_text(rules)
        file = folder / "prometheus.yml"
        file.write_text(CONFIG.format(admin=hub.admin))
        self.log = (folder / "prometheus.log").open("w+")
        self.process = subprocess.Popen(
            [
                str(PROMETHEUS),
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=subprocess.DEVNULL,
            stderr=self.log,
        )

    def api(self, path: str, **query: str) -> Any:
        try:
            status, _, body = fetch(self.port, f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
        except OSError:
            return None
        return json.loads(body)["data"] if status == 200 else None

    def value(self, query: str) -> float | None:
        found = self.api("query", query=query)
        return float(found["result"][0]["value"][1]) if found and found["result"] else None

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.log.close()


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[Gateway, Prometheus]]:
    if PROMETHEUS is None:
        pytest.skip("no prometheus on this machine: apt-get install prometheus")
    # Exemplars name sampled traces, and nothing is sampled where nothing takes spans.
    with gateway(tmp_path, MINIMAL.format(more='[export]\notlp = "http://127.0.0.1:9"')) as hub:
        server = Prometheus(tmp_path, hub)
        try:
            yield hub, server
        finally:
            server.end()


def test_prometheus_scrapes_without_complaint(
    tmp_path: Path, prometheus: tuple[Gateway, Prometheus]
) -> None:
    hub, server = prometheus
    for _ in range(9):
        hub.get()
    count = 'sum(http_server_request_duration_seconds_count{http_request_method="GET"})'
    until(lambda: server.value(count) == 9)
    target = until(lambda: (t := server.api("targets")) and t["activeTargets"][0])
    assert (target["health"], target["lastError"]) == ("up", "")
    assert server.value("sum(spangate_workers{state='ready'})") == 2
    assert server.value("spangate_build_info") == 1
    units = server.api("metadata", metric="http_server_request_duration_seconds")
    assert units["http_server_request_duration_seconds"][0]["type"] == "histogram"
    found = until(
        lambda: server.api(
            "query_exemplars",
            query="http_server_request_duration_seconds_bucket",
            start="0",
            end="9e9",
        )
    )
    assert all(len(e["labels"]["trace_id"]) == 32 for s in found for e in s["exemplars"])
    log = (tmp_path / "prometheus.log").read_text()
    assert "level=error" not in log and "level=warn" not in log, log
