"""What the gateway would answer, made up: JSON for each page, hostile words among it."""

from __future__ import annotations

import hashlib
import math
from typing import Any

NOW = 1_790_000_000_000.0  # Unix ms
ROUTES = ("shop", "orders", "payments", "static")
# A script, an escape of a terminal, a mark that turns the direction of text, and one more of each.
HOSTILE = "<script>window.hit=1</script><img src=x onerror=window.hit=2>\x1b[31mred\u202egnp.exe"


def hexes(seed: object, length: int) -> str:
    return hashlib.sha256(str(seed).encode()).hexdigest()[:length]


def trace_id(number: int) -> str:
    return hexes(f"trace {number}", 32)


def wave(number: int) -> float:
    """Something between 0 and 1 that looks like chance."""
    return math.modf(abs(math.sin(number * 12.9898)) * 43758.5453)[0]


def info() -> dict[str, Any]:
    return {
        "version": "0.1.0",
        "service": "spangate",
        "trace_url": "",
        "ui": True,
        "demo": {
            "requests": [
                {
                    "label": "An order",
                    "method": "GET",
                    "url": "/demo/shop/orders/42",
                    "what": "shop asks orders, orders asks payments",
                },
                {
                    "label": "A failing one",
                    "method": "GET",
                    "url": "/demo/shop/orders/13",
                    "what": "payments fails once and is tried again",
                },
                {
                    "label": "A slow one",
                    "method": "GET",
                    "url": "/demo/shop/orders/99",
                    "what": "payments takes longer than anybody waits",
                },
            ]
        },
    }


def request(number: int, at: float = NOW) -> dict[str, Any]:
    """One event of the tap."""
    chance = wave(number)
    status = 503 if chance > 0.96 else 404 if chance > 0.9 else 200
    route = ROUTES[number % 4]
    return {
        "time_unix_ms": at,
        "method": "POST" if number % 7 == 0 else "GET",
        "path": f"/{route}/{number}",
        "query": "",
        "host": "example.com",
        "status": status,
        "route": route,
        "upstream": route,
        "address": "10.0.0.7:8080",
        "tries": 2 if status == 503 else 1,
        "duration_ms": round(2 + 60 * chance**6 + chance * 8, 3),
        "error": "503" if status == 503 else "",
        "trace_id": trace_id(number),
        "span_id": hexes(("span", number), 16),
        "sampled": True,
        "client": "192.0.2.1",
    }


def rates() -> dict[str, Any]:
    routes = [rated(name, at) for at, name in enumerate(ROUTES)]
    still = {"rate": 0.0, "errors": 0.0, "p50_ms": None, "p99_ms": None, "requests": 0}
    routes.append({**still, "route": HOSTILE, "failed": 0, "last_hit_unix_ms": None, "history": []})
    total = {
        "rate": sum(r["rate"] for r in routes),
        "errors": sum(r["errors"] for r in routes),
        "p50_ms": 4.2,
        "p99_ms": 61.0,
        "requests": 90_210,
    }
    return {
        "at_unix_ms": NOW,
        "interval_s": 1,
        "total": total,
        "routes": routes,
        "upstreams": [],
    }


def rated(name: str, at: int) -> dict[str, Any]:
    history = []
    for second in range(120):
        chance = wave(second * 4 + at)
        swell = 1 + 0.5 * math.sin(second / 14 + at)
        history.append(
            [
                NOW - (119 - second) * 1000,
                round((40 + 20 * chance) * swell * (1 + at), 1),
                round(8 * chance, 1) if at < 2 and chance > 0.85 else 0.0,
                round(3 + 2 * chance + at, 2),
                round(20 + 40 * chance**3, 2),
            ]
        )
    _, rate, errors, p50, p99 = history[-1]
    return {
        "route": name,
        "rate": rate,
        "errors": errors,
        "p50_ms": p50,
        "p99_ms": p99,
        "requests": 20_000 + at * 500,
        "failed": 30 * (3 - at),
        "last_hit_unix_ms": NOW - 300,
        "history": history,
    }


def summary(number: int) -> dict[str, Any]:
    chance = wave(number * 3 + 1)
    error = chance > 0.93
    route = ROUTES[number % 4]
    return {
        "trace_id": trace_id(number),
        "name": HOSTILE if number == 5 else f"GET /{route}/{{id}}",
        "service": "spangate",
        "route": route,
        "method": "GET",
        "path": f"/{route}/{number}",
        "status": 503 if error else 200,
        "error": error,
        "start_unix_ms": NOW - number * 411.5,
        "duration_ms": round(3 + 500 * chance**8 + 40 * chance, 3),
        "spans": 6 + number % 5,
        "errors": 2 if error else 0,
        "services": ["spangate", "shop", "orders"][: 1 + number % 3],
    }


def traces(query: dict[str, str], known: int = 400) -> dict[str, Any]:
    found = [summary(number) for number in range(known)]
    if query.get("route"):
        found = [t for t in found if t["route"] == query["route"]]
    if query.get("error") == "true":
        found = [t for t in found if t["error"]]
    if query.get("min_ms"):
        found = [t for t in found if t["duration_ms"] >= float(query["min_ms"])]
    limit = int(query.get("limit", 50))
    searched = {"spans": known * 8, "traces": known, "oldest_unix_ms": NOW - 170_000}
    return {"traces": found[:limit], "searched": searched, "more": len(found) > limit}


def span(number: int, parent: str, name: str, times: tuple[float, float], **more: Any) -> Any:
    start, duration = times
    return {
        "span_id": hexes(("span", number, name), 16),
        "parent_id": parent,
        "name": name,
        "kind": "internal",
        "service": "spangate",
        "start_us": float(start),
        "duration_us": float(duration),
        "status": "unset",
        "message": "",
        "attributes": {},
        "events": [],
        "links": [],
        "trace_state": "",
        "sampled": True,
        "resource": {"service.name": "spangate", "service.version": "0.1.0", "host.name": "edge-1"},
        "scope": "spangate",
        "phases": [],
        "critical": [],
        "depth": 0,
        **more,
    }


def phase(name: str, start: float, duration: float) -> dict[str, Any]:
    return {"name": name, "start_us": float(start), "duration_us": float(duration)}


def phases(start: float, duration: float) -> list[dict[str, Any]]:
    """As a SERVER span of the gateway has them."""
    shares = {"queue": 0.05, "connect": 0.1, "first_byte": 0.7, "transfer": 0.1, "overhead": 0.05}
    found, at = [], start
    for name, share in shares.items():
        found.append(phase(name, at, duration * share))
        at += duration * share
    return found


def trace(number: int) -> dict[str, Any]:
    """A request to the shop, which asks orders, which asks payments, which fails at first."""
    slow = 1 + number % 3
    about = {
        "http.request.method": "GET",
        "url.scheme": "https",
        "url.path": "/shop/orders/13",
        "url.query": "x=it's",
        "server.address": "shop.example.com",
        "server.port": 8443,
        "user_agent.original": "curl/8.5 (it's)",
        "http.response.status_code": 200,
        "spangate.route": "shop",
        "http.route": "/shop/*",
        "hostile": HOSTILE,
        "huge": "A" * (1 << 20),
        "list": ["a", 1, True, {"b": None}],
    }
    spans: list[dict[str, Any]] = []

    def add(parent: str, name: str, start: float, duration: float, **more: Any) -> str:
        made = span(len(spans), parent, name, (start * slow, duration * slow), **more)
        if made["kind"] == "server" and made["service"] == "spangate":
            made["phases"] = phases(made["start_us"], made["duration_us"])
        spans.append(made)
        return str(made["span_id"])

    root = add(
        "", "GET /shop/*", 0, 96_000, kind="server", depth=0, attributes=about, status="unset",
        critical=[[0, 2_000 * slow], [94_000 * slow, 96_000 * slow]],
    )  # fmt: skip
    shop = add(
        root, "GET", 2_000, 92_000, kind="client", depth=1,
        attributes={"peer.service": "shop", "http.response.status_code": 200},
        critical=[[2_000 * slow, 8_000 * slow], [90_000 * slow, 94_000 * slow]],
    )  # fmt: skip
    orders = add(
        shop, "GET /orders/{id}", 8_000, 82_000, kind="server", depth=2,
        critical=[[8_000 * slow, 20_000 * slow]],
    )  # fmt: skip
    pay = add(
        orders, "GET /payments/{id}", 20_000, 66_000, kind="server", depth=3, service="orders",
        resource={"service.name": "orders"}, critical=[[20_000 * slow, 22_000 * slow]],
    )  # fmt: skip
    add(
        pay, "GET", 22_000, 24_000, kind="client", depth=4, status="error", message="503",
        attributes={"peer.service": "payments", "error.type": "503"},
        events=[
            {
                "name": "exception",
                "time_us": 44_000.0 * slow,
                "attributes": {"exception.type": "Unavailable", "exception.message": HOSTILE},
            }
        ],
        critical=[[22_000 * slow, 46_000 * slow]],
    )  # fmt: skip
    add(
        pay, "GET", 56_000, 28_000, kind="client", depth=4,
        attributes={"peer.service": "payments", "http.request.resend_count": 1},
        links=[{"trace_id": trace_id(1), "span_id": hexes(7, 16), "attributes": {"why": "retry"}}],
        critical=[[56_000 * slow, 84_000 * slow]],
    )  # fmt: skip
    if number % 2:
        add(orders, HOSTILE, 86_500, 1_500, kind="producer", depth=3, service="queue\u202e")
    log = {
        "time_us": 96_000.0 * slow,
        "severity": "INFO",
        "body": "GET /shop/orders/13 200",
        "attributes": {"http.response.status_code": 200, "spangate.route": "shop"},
        "span_id": root,
        "service": "spangate",
    }
    return {
        "trace_id": trace_id(number),
        "start_unix_ms": NOW - 5000.0,
        "duration_ms": 96.0 * slow,
        "error": True,
        "services": ["spangate", "orders"],
        "spans": spans,
        "logs": [log, {**log, "severity": "ERROR", "body": HOSTILE, "service": "orders"}],
        "trace_url": f"https://traces.example.com/{trace_id(number)}",
    }


def large_trace(spans: int = 5000) -> dict[str, Any]:
    """So many spans that only those in sight can be drawn."""
    whole = trace(0)
    root = whole["spans"][0]
    children = [
        span(
            number, root["span_id"], f"step {number}",
            (number * 19.0, 15.0), depth=1, service=f"service-{number % 9}",
        )
        for number in range(spans - 1)
    ]  # fmt: skip
    return {**whole, "trace_id": trace_id(5000), "spans": [root, *children]}
