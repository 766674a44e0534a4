"""The whole board in Grafana's classic JSON: its id, its variables, its links, its rows."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass

from proxy.config.loaded import Loaded
from proxy.config.model import Config
from proxy.dashboards.asked import GATE
from proxy.dashboards.objectives import objectives
from proxy.dashboards.panels import DS, Json, placed
from proxy.dashboards.rows import rows

SCHEMA = 39  # of Grafana 10.2 to 11; later ones convert it
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_ANYWHERE = ("", "0.0.0.0", "[::]", "*")  # a listener's host that no browser can go to


@dataclass(frozen=True, slots=True)
class Links:
    """Where a click on an exemplar goes."""

    admin: str  # URL of the gateway's admin port
    trace: str = ""  # URL of a permanent back end, with {trace_id}

    @staticmethod
    def of(config: Config, admin: str, trace: str) -> Links:
        """What was typed, else what the file says. ValueError for what is no such URL."""
        admin = (admin or admin_url(config)).rstrip("/")
        trace = trace or getattr(getattr(config, "ui", None), "trace_url", "")
        for url in filter(None, (admin, trace)):
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url!r} is no URL of a page: write https://…")
        if trace and "{trace_id}" not in trace:
            raise ValueError(f"{trace!r} does not say where the id goes: write {{trace_id}}")
        return Links(admin, trace)

    def to_traces(self) -> list[Json]:
        """As data links; `__value.raw` is the trace's id in the field that has them."""
        urls = {"Open the trace": "${admin:raw}/ui/trace/${__value.raw}"}
        if self.trace:
            urls["Open it where traces are kept"] = self.trace.replace(
                "{trace_id}", "${__value.raw}"
            )
        return [{"title": t, "url": url, "targetBlank": True} for t, url in urls.items()]


def admin_url(config: Config) -> str:
    """Of the admin port as the file says it, for a browser on the same machine."""
    listen = config.admin.listen
    if listen.startswith("unix:") or ":" not in listen:
        return "http://127.0.0.1:9901"
    host, _, port = listen.rpartition(":")
    return f"http://{'localhost' if host in _ANYWHERE else host}:{port}"


def board(loaded: Loaded, links: Links, *, title: str = "", uid: str = "") -> Json:
    """The dashboard. ValueError if `uid` is none."""
    if uid and _UID.fullmatch(uid) is None:
        raise ValueError(f"{uid!r} is no uid: letters, digits, - and _, 40 at most")
    found = objectives(loaded.config)
    name = loaded.config.resource.get("service.name") or os.path.basename(loaded.file)
    return {
        "id": None,
        "uid": uid or _uid(name),
        "title": title or f"Spangate: {name}",
        "description": "Written by `spangate dashboard grafana`.",
        "tags": ["spangate"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": _variables(links)},
        "annotations": {"list": [_reloads()]},
        "links": [_to_the_gateway()],
        "panels": placed(rows(loaded.config, found), links.to_traces()),
    }


def text_of(made: Json) -> str:
    """ASCII alone, so that a name looks the same to every program."""
    return json.dumps(made, indent=2) + "\n"


def _uid(name: str) -> str:
    """The same for the same gateway, whatever its routes: an import then updates the board."""
    return "spangate-" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:24]


def _variables(links: Links) -> list[Json]:
    source = {"name": "DS", "label": "Data source", "type": "datasource", "query": "prometheus"}
    address = {"text": links.admin, "value": links.admin}
    return [
        {**source, "hide": 0, "multi": False, "includeAll": False},
        _choice("instance", "Gateway", "label_values(spangate_build_info, instance)"),
        _choice(
            "route",
            "Route",
            f"label_values(http_server_request_duration_seconds_count{{{GATE}}}, spangate_route)",
        ),
        {
            "name": "admin",
            "label": "Admin URL",
            "type": "textbox",
            "query": links.admin,
            "current": address,
            "options": [{"selected": True, **address}],
            "hide": 0,
        },
    ]


def _choice(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DS,
        "definition": query,
        "query": {"query": query, "refId": f"{name}-values"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _reloads() -> Json:
    return {
        "name": "Reloads",
        "datasource": DS,
        "enable": True,
        "hide": False,
        "iconColor": "blue",
        "expr": f"changes(spangate_config_generation{{{GATE}}}[1m]) > 0",
        "step": "1m",
        "titleFormat": "Configuration changed",
        "textFormat": "{{instance}}",
    }


def _to_the_gateway() -> Json:
    return {
        "title": "Spangate",
        "type": "link",
        "icon": "external link",
        "tooltip": "Live requests, traces and the map, in the gateway itself",
        "url": "${admin:raw}/ui/",
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "targetBlank": True,
    }
