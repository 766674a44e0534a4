"""What a running gateway answers below /api/: rates, routes, explain, and what reloads changed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.hub.gateway import MINIMAL, Gateway, fetch, gateway, until

SHOP = """
[[route]]
name = "shop"
path = "/shop/{id}"
respond = { status = 200, body = "tea" }

[[route]]
name = "broken"
path = "/broken"
to = "nobody"
timeout = "3s"
retry = 2
[route.headers.request.set]
x-team = "hunter2"

[upstream.nobody]
servers = ["http://127.0.0.1:9"]
"""
FILE = MINIMAL.replace("[admin]", '[admin]\ntoken = "sesame"').format(more=SHOP)


def asked(hub: Gateway, path: str, status: int = 200, **query: str) -> Any:
    query_text = f"?{urlencode(query)}" if query else ""
    shown = {"Authorization": "Bearer sesame"}
    found, _, body = fetch(hub.admin, path + query_text, shown)
    assert found == status, body
    return json.loads(body)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("api"), FILE) as found:
        yield found


def test_requests_just_before_the_question_are_a_rate(hub: Gateway) -> None:
    asked(hub, "/api/rates")
    begun = time.time() * 1000
    for i in range(100):
        fetch(hub.port, f"/shop/{i}")
    for _ in range(3):
        fetch(hub.port, "/broken")
    view = asked(hub, "/api/rates")
    routes = {route["route"]: route for route in view["routes"]}
    shop, broken, quiet = routes["shop"], routes["broken"], routes["/*"]
    assert shop["requests"] == 100 and shop["failed"] == 0
    assert shop["rate"] > 0 and shop["errors"] == 0
    assert 0 < shop["p50_ms"] <= shop["p99_ms"]
    assert begun <= shop["last_hit_unix_ms"] <= view["at_unix_ms"]
    assert (broken["requests"], broken["failed"]) == (3, 3) and broken["errors"] > 0
    assert (quiet["requests"], quiet["rate"], quiet["p50_ms"]) == (0, 0, None)
    assert quiet["last_hit_unix_ms"] is None
    assert view["total"]["requests"] == 103
    (nobody,) = view["upstreams"]
    assert nobody["upstream"] == "nobody" and nobody["requests"] == nobody["failed"] >= 3


def test_a_history_grows_while_somebody_looks(hub: Gateway) -> None:
    def points() -> Any:
        view = asked(hub, "/api/rates", points="2")
        found = [route["history"] for route in view["routes"] if route["route"] == "shop"]
        return len(found[0]) == 2 and found[0]

    fetch(hub.port, "/shop/1")
    (first, *_), (second, *_) = until(points)
    assert first < second


def test_routes_say_what_the_file_says(hub: Gateway) -> None:
    told = {route["name"]: route for route in asked(hub, "/api/routes")["routes"]}
    shop, broken = told["shop"], told["broken"]
    assert shop["action"] == "respond" and shop["path"] == "/shop/{id}"
    assert shop["text"].splitlines()[:2] == ["[[route]]", 'name = "shop"']
    assert hub.file.read_text().splitlines()[shop["line"] - 1] == "[[route]]"
    assert hub.file.read_text().splitlines()[shop["line"]] == 'name = "shop"'
    assert (shop["timeout_ms"], shop["retry"]) == (None, None)
    assert broken["to"] == {"nobody": 1} and broken["timeout_ms"] == 3000
    assert broken["retry"]["times"] == 2
    assert "x-team" in broken["text"] and "hunter2" not in json.dumps(told)


def test_a_route_that_publishes_says_where_to(tmp_path: Path) -> None:
    text = (
        FILE
        + """
[messaging.kafka.bus]
brokers = ["127.0.0.1:9"]
[[route]]
name = "topics"
path = "/topics/{topic}"
publish = { to = "bus", topic = "{topic}" }
"""
    )
    with gateway(tmp_path, text, workers=1) as hub:
        told = {route["name"]: route for route in asked(hub, "/api/routes")["routes"]}
        assert told["topics"]["action"] == "publish"
        assert told["topics"]["publish"] == {"to": "bus", "topic": "{topic}"}
        assert (told["topics"]["to"], told["shop"]["publish"]) == ({}, None)
        lines = asked(hub, "/api/explain", method="POST", url="/topics/orders")["lines"]
        assert "published  to topic 'orders', key none" in lines


def test_explain_says_what_the_command_says(hub: Gateway) -> None:
    told = asked(hub, "/api/explain", url="http://shop.example/shop/7", header="x: 1")
    assert told["taken"] is True
    assert "request    GET /shop/7, host shop.example" in told["lines"]
    assert any(line.startswith("route      'shop'") for line in told["lines"])
    told = asked(hub, "/api/explain", method="POST", url="/broken")
    assert any("forwarded  POST /broken" in line for line in told["lines"])
    refused = asked(hub, "/api/explain", url="http://a b/", method="GET")
    assert refused["taken"] is False
    assert "url" in asked(hub, "/api/explain", 400)["error"]
    assert "name: value" in asked(hub, "/api/explain", 400, url="/", header="nonsense")["error"]


def test_pipelines_come_with_what_was_lost(hub: Gateway) -> None:
    told = asked(hub, "/api/pipelines")
    assert "pipelines" in told and isinstance(told["losses"], list)
    assert asked(hub, "/api/upstreams")["nobody"]["endpoints"][0]["state"] == "up"


def test_reloads_are_told_with_what_they_changed(tmp_path: Path) -> None:
    with gateway(tmp_path, FILE, workers=1) as hub:
        told = asked(hub, "/api/config")
        assert (told["generation"], told["history"], told["pending_restart"]) == (1, [], [])
        assert told["settings"]["admin"]["token"] == "REDACTED"

        hub.rewrite(FILE.replace('timeout = "3s"', 'timeout = "4s"').replace("hunter2", "hunter3"))
        (good,) = until(lambda: asked(hub, "/api/config")["history"])
        assert (good["generation"], good["ok"], good["error"]) == (2, True, "")
        assert '-timeout = "3s"\n+timeout = "4s"\n' in good["diff"]

        hub.rewrite(FILE.replace("token =", "tokn =").replace('"tea"', '"gin"'))
        bad, same = until(lambda: (h := asked(hub, "/api/config")["history"])[1:] and h)
        assert same == good
        assert (bad["generation"], bad["ok"]) == (3, False)
        assert "tokn" in bad["error"] and bad["at"] > good["at"]
        assert '+respond = { status = 200, body = "gin" }' in bad["diff"]

        hub.rewrite("nonsense")
        worse, *_ = until(lambda: (h := asked(hub, "/api/config")["history"])[2:] and h)
        assert (worse["ok"], worse["diff"]) == (False, "")
        told = asked(hub, "/api/config")
        assert told["generation"] == 2 and told["last_reload_error"] == worse["error"]
        assert "hunter" not in json.dumps(told)
