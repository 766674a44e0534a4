"""A real Prometheus scrapes a real gateway that has a hard time, and is asked everything that the
rules and the board ask: it answers without an error, and where something happened with numbers."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from proxy.dashboards.board import Links, board
from tests.dashboards.kit import HOSTILE, all_rules, loaded, metrics_in, queries, rules_of, toml
from tests.hub.gateway import Gateway, fetch, gateway, until
from tests.hub.test_prometheus import PROMETHEUS, Prometheus
from tests.server.kit import refusing

CONFIG = """
[[listen]]
address = "127.0.0.1:0"
[[listen]]
address = "127.0.0.1:0"
tls = {{ self_signed = true }}
[admin]
listen = "127.0.0.1:0"
[export]
otlp = "http://127.0.0.1:9"
retry.elapsed = "1ms"
batch_age = "50ms"
[defaults]
slo = {{ availability = 0.999, latency = "1s" }}
[[route]]
name = {hostile}
path = "/up"
to = "up"
[[route]]
name = "down"
path = "/down"
to = "down"
retry = {{ times = 1, backoff = "1ms", budget = 1.0 }}
[[route]]
name = "limited"
path = "/limited"
to = "up"
rate = "1/d"
[[route]]
path = "/fine"
respond = 204
[upstream.up]
servers = ["http://127.0.0.1:{admin}"]
limits = {{ requests = 100 }}
[upstream.down]
servers = ["{down}"]
health = {{ path = "/", every = "5s", fall = 100 }}
eject = {{ errors = 5 }}
breaker = {{ failures = 0.5 }}
"""
NAME = " ".join(HOSTILE)

# Of what nothing happens to this gateway, and so nothing is shown.
SILENT = {
    "spangate_upstream_shed_total",
    "spangate_upstream_discovered",
    "spangate_descriptors_exhausted_total",
    "spangate_access_log_dropped_total",
    "spangate_upstream_ejections_total",
    "spangate_config_generation",  # which does not change any more
}


class Asked(NamedTuple):
    hub: Gateway
    prometheus: Prometheus

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The result; an error of Prometheus is one here."""
        found = self.prometheus.api("query", query=expr)
        assert found is not None, f"refused: {expr}"
        return list(found["result"])


TEXT = CONFIG.format(hostile=toml(NAME), admin=9, down="http://127.0.0.1:9")
RULES = rules_of(TEXT)
EXPRESSIONS = {
    f"{i} {rule.get('alert') or rule['record']}": rule["expr"]
    for i, rule in enumerate(all_rules(RULES))
}
BOARD = board(loaded(TEXT), Links("http://127.0.0.1:9901"))
QUESTIONS = {f"{i} {where}": expr for i, (where, expr) in enumerate(queries(BOARD))}


def chosen(expr: str) -> str:
    """As Grafana asks, with everything chosen."""
    for name, value in {"__rate_interval": "20s", "instance": ".*", "route": ".*"}.items():
        expr = re.sub(rf"\${name}\b", lambda _, value=value: value, expr)
    return expr


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    if PROMETHEUS is None:
        pytest.skip("no prometheus on this machine: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("board")
    with refusing() as down:
        text = CONFIG.format(hostile=toml(NAME), admin=9, down=down)
        with gateway(folder, text, workers=1) as hub:
            hub.rewrite(CONFIG.format(hostile=toml(NAME), admin=hub.admin, down=down))
            until(
                lambda: "spangate_config_generation 2" in fetch(hub.admin, "/metrics")[2].decode()
            )
            fast = RULES.replace("interval: 2m", "interval: 1s")
            server, stop = Prometheus(folder, hub, fast), threading.Event()
            traffic = threading.Thread(target=keep_asking, args=(hub, stop))
            traffic.start()
            try:
                yield Asked(hub, server)
            finally:
                stop.set()
                traffic.join()
                server.end()


def keep_asking(hub: Gateway, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        for path in ("/up", "/down", "/limited", "/fine", "/unknown"):
            hub.get(path)
        fetch(hub.port, "/fine", {"Content-Length": "x"})  # what never becomes a request
        fetch(hub.port, "/fine", {"traceparent": "00-not-one-01"})


@pytest.mark.parametrize("where", QUESTIONS)
def test_the_board_has_something_to_show(where: str, asked: Asked) -> None:
    expr = chosen(QUESTIONS[where])
    assert "$" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", expr)
    until(lambda: asked.prometheus.api("query", query="up"))
    if metrics_in(expr) & SILENT:
        asked.query(expr)
    else:
        until(lambda: numbers(asked.query(expr)))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_rule_can_be_asked(name: str, asked: Asked) -> None:
    until(lambda: asked.prometheus.api("query", query="up"))
    if name.split()[1].startswith("spangate:"):  # a recording rule, with each route's numbers
        until(lambda: numbers(asked.query(EXPRESSIONS[name])))
    else:
        asked.query(EXPRESSIONS[name])


def numbers(result: list[dict[str, Any]]) -> list[float]:
    found = [float(row["value"][1]) for row in result]
    return [value for value in found if not math.isnan(value)]


def test_prometheus_evaluates_all_rules_without_an_error(asked: Asked) -> None:
    def evaluated() -> list[dict[str, Any]]:
        found = asked.prometheus.api("rules") or {"groups": []}
        rules = [rule for group in found["groups"] for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []

    rules = until(evaluated)
    assert len(rules) == len(EXPRESSIONS)
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}


def test_what_is_recorded_is_what_happened(asked: Asked) -> None:
    """All requests to `down` fail, none to the route whose name is anything but a name."""

    def ratios() -> dict[str, float]:
        rows = asked.query("spangate:route:error_ratio:rate5m")
        return {row["metric"]["spangate_route"]: float(row["value"][1]) for row in rows}

    assert until(lambda: (found := ratios()) and len(found) == 3 and found) == {
        NAME: 0.0,
        "down": 1.0,
        "limited": 0.0,  # refused by its rate limit, which is no failure
    }


def test_exemplars_are_found_by_the_query_of_a_panel(asked: Asked) -> None:
    (panel,) = (p for p in BOARD["panels"] if p["title"] == "Durations, all routes")
    expr = chosen(panel["targets"][0]["expr"])
    found = until(lambda: asked.prometheus.api("query_exemplars", query=expr, start="0", end="9e9"))
    labels = [exemplar["labels"] for series in found for exemplar in series["exemplars"]]
    assert labels and all(len(one["trace_id"]) == 32 for one in labels)
