"""What the demo's own data says on the pages: buttons, the map, and what the doctor finds."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.demo.test_demo import DEADLINE, Demo, demo

__all__ = ["demo"]


def until(ask: Callable[[], Any]) -> Any:
    """The first true answer."""
    end = time.monotonic() + DEADLINE
    while not (value := ask()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)  # between two questions to another process
    return value


def test_the_map_draws_itself_and_the_doctor_names_who_loses_the_trace(demo: Demo) -> None:
    url = demo.wait_for(r"Open this: +(http://\S+)/ui/")[1]

    def asked(path: str) -> Any:
        with urllib.request.urlopen(url + path, timeout=DEADLINE) as answer:
            return json.load(answer)

    def edges() -> dict[tuple[str, str], bool]:
        found = asked("/api/map")["edges"]
        return {(edge["source"], edge["target"]): edge["broken"] for edge in found}

    buttons = asked("/api/info")["demo"]["requests"]
    paths = ["/" + button["url"].split("/", 3)[3] for button in buttons]
    assert "/shop/orders/42" in paths and "/shop/stock/42" in paths
    for _ in range(6):
        assert demo.get("/shop/stock/42")[0] == 200
    assert demo.get("/shop/orders/42")[0] == 200

    found = until(lambda: asked("/api/doctor")["findings"])
    assert [(f["service"], f["kind"]) for f in found] == [("stock", "context_dropped")]
    assert all(asked(f"/api/traces/{trace_id}")["spans"] for trace_id in found[0]["evidence"])
    until(lambda: ("stock", "warehouse") in edges())
    drawn = edges()
    whole = [("spangate", "shop"), ("shop", "orders"), ("orders", "payments"), ("shop", "stock")]
    assert [drawn[pair] for pair in whole] == [False] * 4
    assert [pair for pair, broken in drawn.items() if broken] == [("stock", "warehouse")]
