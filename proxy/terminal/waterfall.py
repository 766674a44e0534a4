"""One trace on the terminal: its spans as a tree, each with a bar on a common time axis.

The bar's pattern is what the time went into (its phases, where the gateway measured them), so
that it is read without colours too; a `*` marks spans on the critical path.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.terminal import figures
from proxy.terminal.fields import Table, number, pairs, shown, table, tables, text, whole
from proxy.terminal.screen import Cell, Column, Screen

PHASES = {"queue": "░", "connect": "▒", "first_byte": "▓", "transfer": "█", "overhead": "▪"}
_SPAN, _REST = "█", "·"
_BAR, _LEAST_BAR = 40, 10  # characters
_DEPTH = 40  # levels that are drawn; deeper ones stand below each other
_COLUMNS = (
    Column("span", gives=True),
    Column("service"),
    Column("kind"),
    Column("status"),
    Column("took", right=True),
    Column(""),
    Column("time"),
)


def show(trace: Table, screen: Screen, *, full: bool) -> None:
    """The tree, and below it the log records; with `full` the attributes of every span too."""
    spans = tables(trace, "spans")
    length = max(number(trace, "duration_ms") or 0.0, 0.001) * 1000
    screen.line(_heading(trace, spans))
    room = max(_LEAST_BAR, min(_BAR, screen.width - 80))
    screen.table(_COLUMNS, [_row(span, length, room) for span in spans])
    if legend := _legend(spans):
        screen.line([Cell(legend, "dim")])
    for record in tables(trace, "logs"):
        _log(record, screen)
    if full:
        for span in spans:
            _details(span, screen)
    if url := text(trace, "trace_url"):
        screen.line([Cell(url, "dim", 1000)])


def bar(span: Table, length: float, width: int) -> str:
    """`width` characters for `length` µs; a span takes one at least."""
    start, took = number(span, "start_us") or 0.0, number(span, "duration_us") or 0.0
    first, last = _columns(start, took, length, width)
    drawn = [_REST] * first + [_SPAN] * (last - first) + [_REST] * (width - last)
    for phase in tables(span, "phases"):
        sign = PHASES.get(text(phase, "name"))
        part = number(phase, "duration_us") or 0.0
        if sign is None or part <= 0:
            continue
        begin, end = _columns(number(phase, "start_us") or 0.0, part, length, width)
        for column in range(max(begin, first), min(end, last)):
            drawn[column] = sign
    return "".join(drawn)


def _columns(start: float, took: float, length: float, width: int) -> tuple[int, int]:
    """From which character to which, at least one; within the width whatever the times are."""
    first = max(0, min(width - 1, int(start * width / length)))
    last = max(first + 1, min(width, round((start + took) * width / length)))
    return first, last


def _row(span: Table, length: float, width: int) -> list[Cell]:
    failed = text(span, "status") == "error"
    attributes = table(span.get("attributes"))
    code = whole(attributes, "http.response.status_code")
    said = " ".join(filter(None, (str(code or ""), text(attributes, "error.type"))))
    indent = "  " * min(whole(span, "depth"), _DEPTH)
    critical = any(True for _ in pairs(span, "critical"))
    took = number(span, "duration_us")
    return [
        Cell(f"{indent}{text(span, 'name')}", "bold red" if failed else "", 100),
        Cell(text(span, "service"), "cyan", 24),
        Cell(text(span, "kind"), "dim", 10),
        Cell(said or ("error" if failed else ""), figures.colour_of(code, failed=failed), 32),
        Cell(figures.duration(None if took is None else took / 1000)),
        Cell("*" if critical else ""),
        Cell(bar(span, length, width), "red" if failed else "green" if critical else "blue"),
    ]


def _heading(trace: Table, spans: Sequence[Table]) -> list[Cell]:
    failed = sum(text(span, "status") == "error" for span in spans)
    return [
        Cell(f"trace {text(trace, 'trace_id')}", "bold"),
        Cell(figures.clock(number(trace, "start_unix_ms"))),
        Cell(figures.plural(len(spans), "span")),
        Cell(figures.duration(number(trace, "duration_ms"))),
        Cell(f"{failed} failed" if failed else "", "bold red"),
    ]


def _legend(spans: Sequence[Table]) -> str:
    there = {text(phase, "name") for span in spans for phase in tables(span, "phases")}
    known = [f"{sign} {name.replace('_', ' ')}" for name, sign in PHASES.items() if name in there]
    if any(True for span in spans for _ in pairs(span, "critical")):
        known.append("* on the critical path")
    return "   ".join(known)


def _log(record: Table, screen: Screen) -> None:
    at = number(record, "time_us")
    screen.line(
        [
            Cell("log", "dim"),
            Cell(f"+{figures.duration(None if at is None else at / 1000)}"),
            Cell(text(record, "severity"), "yellow"),
            Cell(text(record, "service"), "cyan"),
            Cell(text(record, "body"), "", 1000),
        ]
    )


def _details(span: Table, screen: Screen) -> None:
    screen.line([Cell(" ")])
    screen.line([Cell(text(span, "span_id"), "dim"), Cell(text(span, "name"), "bold")])
    if message := text(span, "message"):
        screen.line([Cell("  message"), Cell(message, "red", 1000)])
    for key, value in table(span.get("attributes")).items():
        screen.line([Cell(f"  {key}", "cyan"), Cell(shown(value), "", 1000)])
    for event in tables(span, "events"):
        at = number(event, "time_us")
        screen.line(
            [
                Cell("  event", "dim"),
                Cell(f"+{figures.duration(None if at is None else at / 1000)}"),
                Cell(text(event, "name"), "bold"),
                Cell(shown(event.get("attributes") or None), "dim", 1000),
            ]
        )
    for link in tables(span, "links"):
        screen.line([Cell("  link", "dim"), Cell(text(link, "trace_id"))])
