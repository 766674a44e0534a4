"""Broken: edges of the map that no trace shows, because a service has lost the context on the way.

The doctor says which service, and gives traces that began with its calls. Whom they reached is in
these traces; their numbers are those of the edge on which the gateway seems to call by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from proxy.recent import examine
from proxy.recent.desk import Asked
from proxy.recent.findings import CORRUPTED, DROPPED, RESTARTED
from proxy.recent.model import CLIENT, text
from proxy.recent.search import trace_of
from proxy.recent.view import Step

Json = dict[str, Any]

_LOST = (DROPPED, RESTARTED, CORRUPTED)


def with_broken(asked: Asked, shown: Json) -> Generator[Step, None, Json]:
    """The map with an edge besides for each call whose context is lost, and `broken` there."""
    said = yield from examine.diagnosis(asked)
    edges: dict[tuple[str, str], Json] = {
        (edge["source"], edge["target"]): edge for edge in shown["edges"]
    }
    for finding in said["findings"]:
        if finding["kind"] not in _LOST:
            continue
        for target in (yield from _targets(asked, finding)):
            pair = (finding["service"], target)
            if pair in edges:
                edges[pair]["broken"] = True
            elif like := _of_a_gateway(edges, shown["nodes"], target):
                edges[pair] = {**like, "source": pair[0], "target": target, "broken": True}
    names = {node["name"] for node in shown["nodes"]}
    new = sorted({name for pair in edges for name in pair} - names)
    nodes = [*shown["nodes"], *({"name": name, "kind": "service"} for name in new)]
    return {"nodes": nodes, "edges": [edges[pair] for pair in sorted(edges)]}


def _targets(asked: Asked, finding: Mapping[str, Any]) -> Generator[Step, None, list[str]]:
    """Whom the calls reached that the finding is about."""
    found: dict[str, None] = {}
    for trace_id in finding["evidence"]:
        spans = trace_of(asked.store, bytes.fromhex(trace_id))
        called = [text(s.attributes.get("peer.service")) for s in spans if s.kind == CLIENT]
        # Where the service is called itself, its own call is in another trace.
        if called and called[0] and finding["service"] not in called:
            found[called[0]] = None
        yield None
    return list(found)


def _of_a_gateway(
    edges: Mapping[tuple[str, str], Json], nodes: list[Json], target: str
) -> Json | None:
    gateways = [node["name"] for node in nodes if node["kind"] == "gateway"]
    return next((edges[name, target] for name in gateways if (name, target) in edges), None)
