"""Microservices' metrics by OTLP, through the gateway's collector, to a real Prometheus.

One Prometheus scrapes the gateway and what its collector shows; to the other one the collector
writes. In both the services' own series are found by their names, and every query of the board
that `spangate dashboard grafana` prints has an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.collector.prometheus_server import Prometheus, prometheus
from tests.dashboards.kit import metrics_in, queries
from tests.dashboards.test_real_prometheus import chosen
from tests.hub.gateway import DEADLINE, Gateway, fetch, gateway
from tests.ports import free_port
from tests.scenarios.kit import sidecar
from tests.scenarios.service import service

GATEWAY = """
listen = "127.0.0.1:0"
resource = {{ "service.name" = "edge" }}
[admin]
listen = "127.0.0.1:{admin}"
[export]
metrics_interval = "200ms"
[defaults]
slo = {{ availability = 0.999, latency = "1s" }}
[[route]]
name = "orders"
path = "/orders/*"
to = "orders"
retry = {{ times = 1, backoff = "1ms", budget = 1.0, on = [500] }}
[[route]]
name = "users"
path = "/users/*"
to = "users"
[[route]]
name = "limited"
path = "/limited"
to = "users"
rate = "1/d"
[upstream.orders]
servers = ["http://127.0.0.1:{orders}"]
health = {{ path = "/", every = "1s" }}
breaker = {{ failures = 0.99 }}
[upstream.users]
servers = ["http://127.0.0.1:{users}"]
limits = {{ requests = 100 }}
eject = {{ errors = 5 }}
[collector.receivers.otlp]
http = "127.0.0.1:{http}"
grpc = "127.0.0.1:{grpc}"
[collector.exporters.prometheus]
endpoint = "127.0.0.1:{page}"
[collector.exporters.prometheus_remote_write]
endpoint = "http://127.0.0.1:{written}/api/v1/write"
[collector.exporters.debug]
[collector.pipelines."metrics/shown"]
receivers = ["otlp"]
exporters = ["prometheus"]
[collector.pipelines."metrics/written"]
receivers = ["gateway", "otlp"]
exporters = ["prometheus_remote_write"]
[collector.pipelines.traces]
receivers = ["gateway", "otlp"]
exporters = ["debug"]
"""
RULES = "global: {{ evaluation_interval: 1s }}\nrule_files: [{rules}]\n"
SCRAPES = """
scrape_configs:
- job_name: spangate
  scrape_interval: 200ms
  static_configs: [{{ targets: ["127.0.0.1:{admin}"] }}]
- job_name: collector
  scrape_interval: 200ms
  honor_labels: true
  static_configs: [{{ targets: ["127.0.0.1:{page}"] }}]
"""

# Of what nothing happens here, and so nothing is shown.
SILENT = {
    "spangate_config_generation",  # which does not change
    "spangate_upstream_shed_total",
    "spangate_descriptors_exhausted_total",
    "spangate_tls_certificate_expiry_seconds",
}


class Running(NamedTuple):
    scraping: Prometheus
    written: Prometheus
    board: dict[str, str]  # what is asked, by where


def printed(*words: str) -> str:
    """What a command of `spangate` prints."""
    command = [sys.executable, "-m", "proxy", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)
    return done.stdout


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    """All of it, under traffic."""
    ports = {name: free_port() for name in ("admin", "http", "grpc", "page")}
    by_http, by_grpc = (f"http://127.0.0.1:{ports[way]}" for way in ("http", "grpc"))
    file = folder / "printed.toml"
    file.write_text(GATEWAY.format(orders=9, users=9, written=9, **ports))
    board = json.loads(printed("dashboard", "grafana", str(file)))
    rules = folder / "rules.yml"
    made = printed("alerts", "prometheus", str(file))
    rules.write_text(made.replace("interval: 2m", "interval: 1s"))
    for name in ("scraping", "written"):
        (folder / name).mkdir()
    async with AsyncExitStack() as stack:
        enter = stack.enter_context
        app = enter(service("orders", by_http))
        users = enter(service("users", by_grpc, "grpc"))
        orders = enter(sidecar(folder, "orders", app, by_http))
        ruled = RULES.format(rules=rules)
        written = await stack.enter_async_context(prometheus(folder / "written", text=ruled))
        text = GATEWAY.format(orders=orders, users=users, written=written.port, **ports)
        edge = enter(gateway(folder, text, workers=1))
        scrapes = ruled + SCRAPES.format(**ports)
        scraping = await stack.enter_async_context(prometheus(folder / "scraping", text=scrapes))
        stack.enter_context(traffic(edge))
        asked = {f"{i} {where}": chosen(what) for i, (where, what) in enumerate(queries(board))}
        yield Running(scraping, written, asked)


@contextmanager
def traffic(edge: Gateway) -> Iterator[None]:
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.wait(0.05):
            for path in ("/orders/7", "/orders/fail", "/users/1", "/limited", "/unknown"):
                edge.get(path)
            fetch(edge.port, "/users/1", {"Content-Length": "x"})  # what never becomes a request
            fetch(edge.port, "/users/1", {"traceparent": "00-not-one-01"})

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def unanswered(server: Prometheus, asked: dict[str, str]) -> dict[str, str]:
    """Queries that have no number for an answer, for too long."""
    left = dict(asked)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE):
            while left:
                for where, what in list(left.items()):
                    if await answers(server, what):
                        del left[where]
                await asyncio.sleep(0.1)  # nothing else tells when it has numbers
    return left


async def answers(server: Prometheus, what: str) -> bool:
    """Whether there is a number; an error of Prometheus is one here."""
    found = (await server.query(what)).values()
    return bool(metrics_in(what) & SILENT) or not all(map(math.isnan, found))


SERIES = (
    'orders_handled_total{job="orders",instance="orders-1",status="200"}',
    'orders_handled_total{job="orders",instance="orders-1",status="500"}',
    'orders_work_seconds_count{job="orders",instance="orders-1"}',
    'users_handled_total{job="users",instance="users-1",status="200"}',
    'users_work_seconds_bucket{job="users",instance="users-1",le="+Inf"}',
    # of the sidecar, under its service's name
    'http_server_request_duration_seconds_count{job="orders",http_response_status_code="500"}',
)


async def test_metrics_of_services_and_the_board_of_the_gateway(tmp_path: Path) -> None:
    async with running(tmp_path) as all:
        assert set.union(*map(metrics_in, all.board.values())) >= SILENT
        for server in (all.scraping, all.written):
            for series in SERIES:
                await server.wait(f"{series} > 0")
            assert await unanswered(server, all.board) == {}
        # What the gateway itself tells, in the written ones by its name.
        await all.written.wait('http_server_request_duration_seconds_count{job="edge"} > 0')
