"""Panels and rows as values, and how they look in Grafana's classic JSON.

Which questions they ask is not known here: `rows` has that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

Json = dict[str, Any]

DS: Json = {"type": "prometheus", "uid": "${DS}"}
WIDTH = 24  # columns of Grafana's grid
_VARIABLE = re.compile(r"\$(?=[\w{])|\[(?=\[)")


class Query(NamedTuple):
    expr: str
    legend: str = ""
    exemplar: bool = False


class Panel(NamedTuple):
    """`steps`: (value from which, colour), rising; `bottom` is the colour below the first."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    what: str = ""
    kind: str = "timeseries"  # or stat, heatmap
    width: int = 8
    height: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    bottom: str = "green"


class Row(NamedTuple):
    title: str
    panels: tuple[Panel, ...]
    repeat: str = ""  # the variable for each of whose values the row is there once


def graph(title: str, *queries: Query, unit: str = "short", what: str = "") -> Panel:
    return Panel(title, queries, unit, what)


def stat(title: str, query: Query, unit: str = "short", what: str = "") -> Panel:
    return Panel(title, (query,), unit, what, "stat", 4, 4)


def plain(text: str) -> str:
    """A title in which Grafana finds no variable: a word joiner, which nobody sees, divides it."""
    return _VARIABLE.sub(lambda found: f"{found[0]}\u2060", text)


def placed(rows: Iterable[Row], links: list[Json]) -> list[Json]:
    """All panels with ids and places, from left to right and top to bottom."""
    made: list[Json] = []
    y = 0
    for row in rows:
        made.append(_row(row, len(made) + 1, y))
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            made.append({"id": len(made) + 1, "gridPos": place, **_panel(panel, links)})
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return made


def _row(row: Row, number: int, y: int) -> Json:
    place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
    made: Json = {"type": "row", "title": row.title, "collapsed": False, "panels": []}
    if row.repeat:
        made["repeat"] = row.repeat
    return {"id": number, "gridPos": place, **made}


def _panel(panel: Panel, links: list[Json]) -> Json:
    targets = [_target(query, i, panel) for i, query in enumerate(panel.queries)]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.what,
        "datasource": DS,
        "targets": targets,
        "fieldConfig": {
            "defaults": _defaults(panel),
            "overrides": _overrides(links) if any(q.exemplar for q in panel.queries) else [],
        },
        "options": _OPTIONS[panel.kind],
    }


def _target(query: Query, index: int, panel: Panel) -> Json:
    return {
        "refId": chr(ord("A") + index),
        "datasource": DS,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "exemplar": query.exemplar,
        "range": panel.kind != "stat",
        "instant": panel.kind == "stat",
        **({"format": "heatmap"} if panel.kind == "heatmap" else {}),
    }


def _defaults(panel: Panel) -> Json:
    made: Json = {"unit": panel.unit}
    if panel.kind == "timeseries":
        made["color"] = {"mode": "palette-classic"}
        made["custom"] = {"fillOpacity": 8, "showPoints": "never", "axisSoftMin": 0}
    steps: list[Json] = [{"color": panel.bottom, "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.steps]
    made["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.steps and panel.kind == "timeseries":
        made["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    return made


def _overrides(links: list[Json]) -> list[Json]:
    """On the field of an exemplar that has the trace's id, and on no other."""
    matcher = {"id": "byName", "options": "trace_id"}
    return [{"matcher": matcher, "properties": [{"id": "links", "value": links}]}]


_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_OPTIONS: dict[str, Json] = {
    "timeseries": {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "yAxis": {"unit": "s"},
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "tooltip": {"mode": "single", "yHistogram": True},
    },
}
