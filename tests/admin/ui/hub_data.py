"""What the hub and the collector would answer for the map, routes, upstreams and so on, made up."""

from __future__ import annotations

from typing import Any

from tests.admin.ui.data import HOSTILE, trace_id

DRAINED: set[str] = set()  # endpoints that somebody has drained
CHANGES: list[str] = []  # everything that was asked for by POST


def answers(what: str, query: dict[str, str]) -> Any:
    """The JSON of a path below /api/, None if it is none of these."""
    made = {
        "map": service_map,
        "doctor": doctor,
        "routes": routes,
        "upstreams": upstreams,
        "pipelines": pipelines,
    }.get(what)
    if made is not None:
        return made()
    if what == "config":
        return config(query.get("settings") != "false")
    return explain(query) if what == "explain" else None


def edge(source: str, target: str, rate: float, errors: float = 0.0, **more: Any) -> dict[str, Any]:
    return {
        "source": source, "target": target, "rate": rate, "errors": errors, "p50_ms": 3.4,
        "p99_ms": 48.2, "calls": round(rate * 300), "broken": False, **more,
    }  # fmt: skip


def service_map() -> dict[str, Any]:
    return {
        "nodes": [
            {"name": "spangate", "kind": "gateway"},
            {"name": "shop", "kind": "service"},
            {"name": "orders", "kind": "service"},
            {"name": "payments", "kind": "service"},
            {"name": HOSTILE, "kind": "service"},
        ],
        "edges": [
            edge("spangate", "shop", 42.5),
            edge("shop", "orders", 41.0, p99_ms=182.0),
            edge("orders", "payments", 40.2, 1.3, p99_ms=950.0),
            edge("orders", "stock", 12.0, broken=True),
            edge("shop", HOSTILE, 0.2),
        ],
    }


def doctor() -> dict[str, Any]:
    return {
        "findings": [
            {
                "service": "stock",
                "kind": "context_dropped",
                "confidence": 0.97,
                "summary": "138 of 138 calls of stock came without the context that it was given.",
                "remedy": "Instrument its HTTP client: for Python's requests install "
                "opentelemetry-instrumentation-requests and start it by opentelemetry-instrument.",
                "evidence": [trace_id(n) for n in range(12)],
            },
            {
                "service": HOSTILE,
                "kind": "some_new_kind",
                "confidence": 0.55,
                "summary": HOSTILE,
                "remedy": HOSTILE,
                "evidence": [trace_id(3)],
            },
        ],
        "checked": {
            "spans": 12_842,
            "services": ["spangate", "shop", "orders", "payments", HOSTILE],
        },
    }


def route(name: str, line: int, **more: Any) -> dict[str, Any]:
    text = f'[[route]]\nname = "{name}"\npath = "/{name}/*"\nto = "{name}"\ntimeout = "5s"\n'
    return {
        "name": name, "host": [], "path": f"/{name}/*", "action": "proxy", "to": {name: 1},
        "line": line, "text": text, "timeout_ms": 5000, "retry": None, **more,
    }  # fmt: skip


def routes() -> dict[str, Any]:
    return {
        "routes": [
            route("shop", 12, to={"shop": 90, "shop-canary": 10}),
            route("orders", 20, retry={"times": 2, "on": [503], "methods": ["GET"]}),
            route("payments", 31, host=["pay.example.com", "*.pay.example.com"]),
            route("static", 38, action="respond", to={}, timeout_ms=None),
            route("old", 44, action="redirect", to={}, timeout_ms=None),
            route(HOSTILE, 50, text=f"# {HOSTILE}"),
        ]
    }


def explain(query: dict[str, str]) -> dict[str, Any]:
    taken = "missing" not in query.get("url", "")
    lines = [
        f"request    {query.get('method', 'GET')} {query.get('url')}, host localhost",
        "route      'shop' (routes.toml:12)" if taken else "answer     404",
        HOSTILE,
    ]
    return {"taken": taken, "lines": lines}


def endpoint(url: str, state: str = "up", why: str = "200 from /healthz") -> dict[str, Any]:
    drained = url in DRAINED
    return {
        "url": url,
        "address": url.removeprefix("http://"),
        "state": "drained" if drained else state,
        "why": "an operator drained it" if drained else why,
        "weight": 1,
        "active": {"requests": 3, "connections": 8},
        "drained": drained,
        "probe": {
            "at": "2026-09-21T13:33:19.000+00:00", "ok": state == "up", "said": why,
            "status": 200, "error.type": "", "seconds": 0.004,
        },
        "ejection": {"times": 2, "until": "2026-09-21T13:34:00.000+00:00", "why": why}
        if state == "ejected"
        else None,
        "breaker": None,
        "latency_ewma_seconds": 0.0042,
    }  # fmt: skip


def upstreams() -> dict[str, Any]:
    side = {
        "weight": 90, "share": 0.9, "requests": 9000, "errors": 9, "error_rate": 0.001,
        "mean_seconds": 0.01, "p50_seconds": 0.004, "p99_seconds": 0.05,
    }  # fmt: skip
    return {
        "orders": {
            "balance": "least_request",
            "limits": {"requests": {"limit": 100, "used": 12}, "queue": {"limit": None, "used": 0}},
            "splits": None,
            "endpoints": [
                endpoint("http://10.0.0.7:8080"),
                endpoint("http://10.0.0.8:8080", "ejected", "5 answers of 5xx in a row"),
                endpoint("http://10.0.0.9:8080", "down", "connection refused"),
            ],
        },
        "shop": {
            "balance": "round_robin",
            "limits": None,
            "splits": [{"route": "shop", "sides": {"shop": side, "shop-canary": side}}],
            "endpoints": [endpoint("http://10.0.1.1:8080")],
        },
        HOSTILE: {
            "balance": "random",
            "limits": None,
            "splits": None,
            "endpoints": [endpoint("http://10.0.2.1", why=HOSTILE)],
        },
    }


def flow(accepted: int, per: float, refused: int = 0) -> dict[str, Any]:
    return {"accepted": accepted, "refused": refused, "items_per_second": per}


def pipeline(signal: str, receivers: list[str], exporters: list[str]) -> dict[str, Any]:
    about = {"state": "running", "healthy": True, "held": 0}
    return {
        "signal": signal,
        "receivers": receivers,
        "processors": [
            {"id": "tail_sampling", **about, **flow(80_000, 410.0), "held": 1210},
            {"id": "batch", **about, **flow(9_000, 44.0)},
        ]
        if signal == "traces"
        else [],
        "exporters": exporters,
        **flow(80_000, 410.0),
        "dropped": {"sampled": 71_000} if signal == "traces" else {},
    }


def pipelines() -> dict[str, Any]:
    def books(created: int, dropped: dict[str, int], **more: Any) -> dict[str, Any]:
        return {
            "created": created, "exported": created - sum(dropped.values()) - 40,
            "dropped": dropped, "queued": 40, "refused": 0, "healthy": True, "paused": False,
            **more,
        }  # fmt: skip

    trouble = {
        "healthy": False,
        "last_error": f"503 from http://tempo:4318 {HOSTILE}",
        "last_error_seconds_ago": 3.2,
    }
    running = {"state": "running", "healthy": True}
    return {
        "pipelines": {
            "traces": pipeline("traces", ["gateway", "otlp"], ["otlp_http/tempo", "recent"]),
            "metrics": pipeline("metrics", ["gateway"], ["otlp_http/tempo"]),
        },
        "receivers": {
            "gateway": {**running, "signals": {"traces": flow(60_000, 300.0)}, "malformed": 0},
            "otlp": {
                **running,
                "addresses": {"grpc": 4317, "http": 4318},
                "signals": {"traces": flow(20_000, 110.0, 7)},
                "malformed": 2,
            },
        },
        "connectors": {},
        "exporters": {
            "otlp_http/tempo": {
                **running,
                **trouble,
                "queue": {"bytes": 7_340_032, "capacity": 8_388_608},
                "signals": {
                    "traces": books(9_000, {"queue_full": 812, "sampled": 71}, **trouble),
                    "metrics": books(700, {"permanent_http_400": 12}),
                },
            },
            "recent": {**running, "signals": {"traces": books(9_000, {})}},
        },
        "balanced": True,
        "losses": [
            {"exporter": exporter, "signal": signal, "reason": reason, "items": items}
            for exporter, signal, reason, items in (
                ("otlp_http/tempo", "traces", "sampled", 71),
                ("otlp_http/tempo", "traces", "queue_full", 812),
                ("otlp_http/tempo", "metrics", "permanent_http_400", 12),
                ("none", "logs", HOSTILE, 3),
            )
        ],
    }  # fmt: skip


DIFF = """\
--- before
+++ after
@@ -12,7 +12,8 @@
 [[route]]
 name = "shop"
-path = "/shop"
+path = "/shop/*"
+timeout = "5s"
 to = "shop"
"""


def config(with_settings: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "generation": 4,
        "loaded_at": "2026-09-21T13:20:00.123+00:00",
        "pending_restart": ["workers", "admin.listen"],
        "last_reload_error": f"routes.toml:14: route[0].paht: unknown key {HOSTILE}",
        "file": "/etc/spangate/routes.toml",
        "history": [
            {
                "at": "2026-09-21T13:30:00.123+00:00", "generation": 5, "ok": False,
                "error": "routes.toml:14: route[0].paht: unknown key (did you mean `path`?)",
                "diff": "",
            },
            {
                "at": "2026-09-21T13:20:00.123+00:00", "generation": 4, "ok": True, "error": "",
                "diff": DIFF + f"+{HOSTILE}\n",
            },
            {
                "at": "2026-09-21T13:10:00.123+00:00", "generation": 3, "ok": True, "error": "",
                "diff": "",
            },
        ],
    }  # fmt: skip
    if with_settings:
        told["settings"] = {
            "workers": 2,
            "drain_timeout": "25s",
            "admin": {"listen": "127.0.0.1:9901", "token": "REDACTED", "hosts": []},
            "route": [{"name": f"route-{i}", "path": f"/{i}", "to": {"a": 1}} for i in range(200)],
            "labels": {HOSTILE: HOSTILE},
        }
    return told


def change(path: str) -> tuple[int, str]:
    """A POST of /upstreams/NAME/URL/drain or undrain: status and text."""
    rest, _, what = path.rpartition("/")
    url = rest.split("/", 3)[3]
    CHANGES.append(f"{what} {url}")
    if "10.0.1.1" in url:
        return 403, "403 Forbidden: changes need a token: write `token` in [admin]\n"
    if what == "drain":
        DRAINED.add(url)
    else:
        DRAINED.discard(url)
    return 200, f"upstream orders: {url} is {what}ed\n"
