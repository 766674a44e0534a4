"""Short forms about message queues: one in the place of a list of one, `[consume]` alone."""

from __future__ import annotations

from typing import Any

from proxy.config.report import Report

_LISTS = ("brokers", "inject", "topics", "headers")


def lengthen_messaging(raw: dict[str, Any], report: Report) -> None:
    """Rewrite `raw` in place."""
    consume = raw.get("consume")
    if isinstance(consume, dict):
        raw["consume"] = [consume]
        report.lines.move(("consume", 0), ("consume",))
    kinds = raw.get("messaging")
    for kind in kinds.values() if isinstance(kinds, dict) else ():
        for queue in kind.values() if isinstance(kind, dict) else ():
            _lists(queue)
    for one in raw["consume"] if isinstance(raw.get("consume"), list) else ():
        _lists(one)
    for route in raw["route"] if isinstance(raw.get("route"), list) else ():
        if isinstance(route, dict):
            _lists(route.get("publish"))


def _lists(table: object) -> None:
    if isinstance(table, dict):
        for key in _LISTS:
            if isinstance(table.get(key), str):
                table[key] = [table[key]]
