"""`spangate top`: how much goes through each route and upstream right now.

On a terminal it goes on until Ctrl-C and follows the window's size; elsewhere it is told once.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from proxy.terminal import figures
from proxy.terminal.client import Gateway, Trouble
from proxy.terminal.fields import Table, number, table, tables, text, whole
from proxy.terminal.printable import printable
from proxy.terminal.screen import Cell, Column, Line, Screen, document, fitted

if TYPE_CHECKING:
    from rich.console import RenderableType

_KEYS = {"rate": "rate", "errors": "errors", "p50": "p50_ms", "p99": "p99_ms"}
_HISTORY = 30  # values of the small bars

_NUMBERS = tuple(Column(title, right=True) for title in ("req/s", "err/s", "", "p50", "p99"))
_ROUTES = (Column("route", gives=True), *_NUMBERS, Column("requests", right=True), Column("rate"))
_UPSTREAMS = (Column("upstream", gives=True), *_NUMBERS, Column("tries", right=True))


def once(gateway: Gateway, sort: str, *, as_json: bool) -> None:
    """As it is now."""
    if as_json:
        document(gateway.get("/api/rates"))
        return
    screen, told = Screen(), _rates(gateway)
    screen.line(_heading(told))
    screen.table(_ROUTES, [_route(each) for each in ordered(tables(told, "routes"), sort, "route")])
    upstreams = ordered(tables(told, "upstreams"), sort, "upstream")
    if upstreams:
        screen.line([Cell(" ")])
        screen.table(_UPSTREAMS, [_row(each, "upstream") for each in upstreams])


def live(gateway: Gateway, sort: str, interval: float) -> None:
    """Until Ctrl-C; `interval` in seconds. A gateway that goes away is waited for."""
    from rich.live import Live

    screen, told, trouble = Screen(), _rates(gateway), ""
    resized = {signal.SIGWINCH}
    signal.pthread_sigmask(signal.SIG_BLOCK, resized)  # it is waited for instead
    try:
        with Live(console=screen.console, screen=True, auto_refresh=False) as shown:
            while True:
                height = screen.console.height
                shown.update(_page(told, sort, trouble, height), refresh=True)
                if signal.sigtimedwait(resized, interval) is not None:
                    continue
                told, trouble = _next(gateway, told)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, resized)


def _rates(gateway: Gateway) -> Table:
    return table(gateway.get("/api/rates", {"points": str(_HISTORY)}))


def _next(gateway: Gateway, told: Table) -> tuple[Table, str]:
    """What is known now, and why it is no more than before."""
    try:
        return _rates(gateway), ""
    except Trouble as trouble:
        if not trouble.gone:
            raise
        return told, str(trouble)


def ordered(rows: Sequence[Table], sort: str, name: str) -> list[Table]:
    """The greatest first, names by the alphabet; what has no such number comes last."""
    if sort == "name":
        return sorted(rows, key=lambda row: text(row, name))
    key = _KEYS.get(sort, sort)

    def rank(row: Table) -> tuple[float, str]:
        value = number(row, key)
        return (1.0 if value is None else -value, text(row, name))

    return sorted(rows, key=rank)


def _page(told: Table, sort: str, trouble: str, height: int) -> RenderableType:
    """Both tables, within the height; upstreams get at most half of it."""
    from rich.console import Group
    from rich.text import Text

    routes = ordered(tables(told, "routes"), sort, "route")
    upstreams = ordered(tables(told, "upstreams"), sort, "upstream")
    room = max(height - 6, 2)  # two headings, a line between, the top and what is left out
    below = min(len(upstreams), max(room // 2, room - len(routes)))
    above = min(len(routes), room - below)
    left_out = len(routes) - above + len(upstreams) - below
    parts: list[Any] = [Text("  ").join(Text(cell.text, cell.style) for cell in _heading(told))]
    parts.append(
        Text(printable(trouble, 200), "bold red") if trouble else Text(f"by {sort}", "dim")
    )
    parts.append(fitted(_ROUTES, [_route(each) for each in routes[:above]]))
    if below:
        parts.append(Text(""))
        parts.append(fitted(_UPSTREAMS, [_row(each, "upstream") for each in upstreams[:below]]))
    if left_out:
        parts.append(Text(f"{left_out} more; a taller window shows them", "dim"))
    return Group(*parts)


def _heading(told: Table) -> Line:
    total = table(told.get("total"))
    errors = number(total, "errors")
    return [
        Cell(figures.clock(number(told, "at_unix_ms"))[:8], "dim"),
        Cell(f"{figures.rate(number(total, 'rate'))} requests/s", "bold"),
        Cell(f"{figures.rate(errors)} errors/s", "bold red" if errors else ""),
        Cell(f"p50 {figures.duration(number(total, 'p50_ms'))}"),
        Cell(f"p99 {figures.duration(number(total, 'p99_ms'))}"),
        Cell(f"{whole(total, 'requests'):,} since the start", "dim"),
    ]


def _row(told: Table, name: str) -> list[Cell]:
    rate, errors = number(told, "rate"), number(told, "errors")
    return [
        Cell(text(told, name) or "(no route)", "cyan", 60),
        Cell(figures.rate(rate), "bold" if rate else "dim"),
        Cell(figures.rate(errors), "bold red" if errors else "dim"),
        Cell(figures.share(errors, rate), "red"),
        Cell(figures.duration(number(told, "p50_ms"))),
        Cell(figures.duration(number(told, "p99_ms"))),
        Cell(f"{whole(told, 'requests'):,}", "dim"),
    ]


def _route(told: Table) -> list[Cell]:
    history = told.get("history")
    rates = [
        float(point[1])
        for point in (history if isinstance(history, list) else [])
        if isinstance(point, list) and len(point) > 1 and isinstance(point[1], int | float)
    ]
    return [*_row(told, "route"), Cell(figures.sparkline(rates, _HISTORY), "green")]
