"""`spangate map` and `spangate doctor`: who calls whom, and which service breaks the trace."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from proxy.terminal import figures
from proxy.terminal.client import Gateway
from proxy.terminal.fields import Table, number, table, tables, text, texts, whole
from proxy.terminal.screen import Cell, Column, Screen, document

_EDGES = (
    Column("service", gives=True),
    *(Column(title, right=True) for title in ("calls/s", "errors/s", "p50", "p99", "calls")),
    Column("trace"),
)
_EVIDENCE = 3  # trace ids that are shown of a finding


def show_map(gateway: Gateway, *, as_json: bool) -> None:
    """Services as a tree of calls, from those that nobody calls down."""
    answer = gateway.get("/api/map")
    if as_json:
        document(answer)
        return
    screen, told = Screen(), table(answer)
    rows = [_edge(branch, name, edge) for branch, name, edge in walk(told)]
    if rows:
        screen.table(_EDGES, rows)
        if any(edge.get("broken") is True for edge in tables(told, "edges")):
            screen.line(
                [Cell("broken traces: `spangate doctor` tells by whom and why", "bold red")]
            )
    else:
        screen.line([Cell("nothing has been called yet", "dim")])


def walk(told: Table) -> Iterator[tuple[str, str, Table]]:
    """(branch drawing, service, the edge that leads to it), each edge once.

    A stack, not recursion: the graph may be as deep as it likes. A service that was shown already
    is not opened again, so that a circle ends.
    """
    below: dict[str, list[Table]] = {}
    for edge in tables(told, "edges"):
        below.setdefault(text(edge, "source"), []).append(edge)
    called = {text(edge, "target") for edges in below.values() for edge in edges}
    names = dict.fromkeys([text(node, "name") for node in tables(told, "nodes")] + list(below))
    opened: set[str] = set()
    # what hangs on no root, such as a circle, follows as if its first one were a root
    for root in sorted(names, key=lambda name: name in called):
        if root in opened or (root in called and root not in below):
            continue
        stack: list[tuple[str, str, str, Table]] = [("", "", root, {})]
        while stack:
            drawn, under, name, edge = stack.pop()
            yield drawn, name + (" (above)" if name in opened and name in below else ""), edge
            if name in opened:
                continue
            opened.add(name)
            kids = below.get(name, [])
            for kid in reversed(kids):
                last = kid is kids[-1]
                branch = under + ("└─ " if last else "├─ ")
                stack.append((branch, under + ("   " if last else "│  "), text(kid, "target"), kid))


def _edge(branch: str, name: str, edge: Table) -> list[Cell]:
    rate, errors = number(edge, "rate"), number(edge, "errors")
    if not edge:
        return [Cell(branch + name, "bold"), *[Cell("")] * 6]
    broken = edge.get("broken") is True
    return [
        Cell(branch + name, "cyan", 100),
        Cell(figures.rate(rate)),
        Cell(figures.rate(errors), "bold red" if errors else "dim"),
        Cell(figures.duration(number(edge, "p50_ms"))),
        Cell(figures.duration(number(edge, "p99_ms"))),
        Cell(f"{whole(edge, 'calls'):,}", "dim"),
        Cell("broken" if broken else "", "bold red"),
    ]


def show_findings(gateway: Gateway, *, as_json: bool, strict: bool) -> None:
    """What the doctor found; with `strict` the process ends with 1 if that is anything."""
    answer = gateway.get("/api/doctor")
    findings = tables(table(answer), "findings")
    if as_json:
        document(answer)
    else:
        _tell(table(answer), findings, Screen())
    if strict and findings:
        sys.exit(1)


def _tell(told: Table, findings: list[Table], screen: Screen) -> None:
    for finding in findings:
        confidence = number(finding, "confidence")
        sure = "" if confidence is None else f"{100 * confidence:.0f} % sure"
        screen.line(
            [
                Cell(text(finding, "service"), "bold red"),
                Cell(text(finding, "kind"), "yellow"),
                Cell(sure, "dim"),
            ]
        )
        for key, style in (("summary", ""), ("remedy", "green")):
            if said := text(finding, key):
                screen.line([Cell(f"  {'do: ' if key == 'remedy' else ''}{said}", style, 2000)])
        for trace_id in texts(finding, "evidence")[:_EVIDENCE]:
            screen.line([Cell(f"  spangate traces {trace_id}", "dim")])
        screen.line([Cell(" ")])
    checked = table(told.get("checked"))
    among = figures.plural(whole(checked, "spans"), "span")
    services = ", ".join(texts(checked, "services")) or "no service"
    found = figures.plural(len(findings), "finding") if findings else "nothing found"
    screen.line([Cell(f"{found} in {among} of {services}", "" if findings else "green", 2000)])
