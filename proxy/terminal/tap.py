"""`spangate tap`: requests as they come, one line for each, until nobody wants more.

A gateway that goes away is waited for: who watches a restart wants to see what comes after it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

from proxy.terminal import figures
from proxy.terminal.client import Gateway, Query, Trouble
from proxy.terminal.events import Event, Events
from proxy.terminal.fields import Table, number, table, text, whole
from proxy.terminal.screen import Cell, Line, Screen, document, note

_FIRST, _LONGEST = 0.2, 5.0  # seconds between two tries to connect again
_PATH, _OTHERS = 30, 90  # columns that a path has at least, and that the rest of a line takes

Wait = Callable[[float], None]


def run(gateway: Gateway, query: Query, most: int, *, as_json: bool) -> None:
    """Show `most` requests, 0 = all that ever come. Raises Trouble."""
    screen = Screen()
    if sys.stderr.isatty():
        note(f"requests of {gateway.at.written}; Ctrl-C ends this")
    shown = 0
    for event in events(gateway, query):
        data = _data(event)
        if event.kind == "dropped":
            _tell_dropped(whole(data, "count"), as_json)
        elif event.kind == "request":
            if as_json:
                document(data, indent=None)
            else:
                screen.line(request_line(data, screen.width if screen.is_terminal else 0))
            shown += 1
            if shown == most:
                return


def events(gateway: Gateway, query: Query, wait: Wait = time.sleep) -> Iterator[Event]:
    """What is told, over as many connections as it takes; Trouble if the first one fails."""
    pause, met, lost = _FIRST, False, False
    while True:
        try:
            with gateway.follow("/api/tap", query) as pieces:
                if lost:
                    note("connected again")
                met, lost, pause = True, False, _FIRST
                reader = Events()
                for piece in pieces:
                    yield from reader.feed(piece)
        except Trouble as trouble:
            if not (met and trouble.gone):
                raise
            if not lost:
                note(f"{trouble}; trying again until it is back")
            lost = True
        wait(pause)
        pause = min(2 * pause, _LONGEST)


def request_line(told: Table, width: int) -> Line:
    """The line of one request; for `width` columns with a part of the trace id and of a long
    path, with all of both where that is 0."""
    status, error = whole(told, "status"), text(told, "error")
    colour = figures.colour_of(status, failed=bool(error))
    path, query = text(told, "path"), text(told, "query")
    tries, trace_id = whole(told, "tries"), text(told, "trace_id")
    served = " ".join(filter(None, (text(told, "upstream"), text(told, "address"))))
    return [
        Cell(figures.clock(number(told, "time_unix_ms")), "dim"),
        Cell(f"{status or '-':>3}", colour),
        Cell(text(told, "method"), "bold"),
        Cell(
            path + (f"?{query}" if query else ""),
            "",
            max(_PATH, width - _OTHERS) if width else 2000,
        ),
        Cell(f"{figures.duration(number(told, 'duration_ms')):>8}", ""),
        Cell(text(told, "route"), "cyan"),
        Cell(served, "blue"),
        Cell(f"{tries} tries" if tries > 1 else "", "yellow"),
        Cell("" if error == str(status) else error, "bold red"),
        Cell(trace_id[:8] if width else trace_id, "dim"),
    ]


def _data(event: Event) -> Table:
    try:
        return table(json.loads(event.data))
    except (ValueError, RecursionError):
        return {}


def _tell_dropped(count: int, as_json: bool) -> None:
    if as_json:
        document({"dropped": count}, indent=None)
    note(f"{figures.plural(count, 'request')} not shown: they came faster than this took them")
