"""The service graph of what is behind a gateway: nothing of it is instrumented, all of it shows."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from tests.hub.gateway import DEADLINE, MINIMAL, gateway, until

# Nobody listens there, which is as good as any answer.
BEHIND = """
[upstream.orders]
servers = ["http://127.0.0.1:1"]
[upstream.users]
servers = ["http://127.0.0.1:1"]
[[route]]
path = "/orders/*"
to = "orders"
[[route]]
path = "/users/*"
to = "users"
[collector.connectors.service_graph]
store = {{ ttl = "50ms" }}
metrics_flush_interval = "100ms"
[collector.exporters.prometheus]
endpoint = "127.0.0.1:{port}"
[collector.pipelines.traces]
receivers = ["gateway"]
exporters = ["service_graph"]
[collector.pipelines.metrics]
receivers = ["service_graph"]
exporters = ["prometheus"]
"""


def test_every_upstream_is_a_node(tmp_path: Path, unused_tcp_port: int) -> None:
    page = f"http://127.0.0.1:{unused_tcp_port}/metrics"

    def edges() -> set[tuple[str, str]]:
        with urllib.request.urlopen(page, timeout=DEADLINE) as answer:
            text = answer.read().decode()
        lines = re.findall(r"^traces_service_graph_request_total\{(.*)\} ", text, re.MULTILINE)
        found = [dict(re.findall(r'(\w+)="([^"]*)"', line)) for line in lines]
        return {(labels["client"], labels["server"]) for labels in found}

    more = BEHIND.format(port=unused_tcp_port)
    with gateway(tmp_path, MINIMAL.format(more=more)) as hub:
        for path in ("/orders/1", "/users/2", "/"):
            hub.get(path)
        wanted = {("user", "spangate"), ("spangate", "orders"), ("spangate", "users")}
        until(lambda: edges() >= wanted)
