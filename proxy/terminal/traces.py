"""`spangate traces`: the traces that the gateway still has, or one of them in full."""

from __future__ import annotations

from proxy.terminal import figures, waterfall
from proxy.terminal.client import Gateway, Query, Trouble
from proxy.terminal.fields import Table, number, table, tables, text, texts, whole
from proxy.terminal.screen import Cell, Column, Screen, document

_COLUMNS = (
    Column("time"),
    Column("trace"),
    Column("status", right=True),
    Column("took", right=True),
    Column("spans", right=True),
    Column("name", gives=True),
    Column("services", gives=True),
)
_WHOLE, _SHORT = 32, 12  # hex digits of a trace id
_WIDE = 120  # columns, from which on there is room for whole ids
_SEARCHED = "1000"  # traces among which one is found by the beginning of its id; the API's most


def several(gateway: Gateway, query: Query, *, as_json: bool) -> None:
    """A list, newest first."""
    answer = gateway.get("/api/traces", query)
    if as_json:
        document(answer)
        return
    screen, told = Screen(), table(answer)
    found, searched = tables(told, "traces"), table(told.get("searched"))
    if found:
        digits = _WHOLE if screen.width >= _WIDE else _SHORT
        screen.table(_COLUMNS, [_row(each, digits) for each in found])
    among = figures.plural(whole(searched, "spans"), "span")
    kept = figures.plural(whole(searched, "traces"), "trace")
    more = ", and there are more: --limit" if told.get("more") is True else ""
    oldest = number(searched, "oldest_unix_ms")
    since = f" since {figures.clock(oldest)[:8]}" if oldest is not None else ""
    screen.line([Cell(f"{len(found)} shown of {kept}, {among}{since}{more}", "dim")])


def one(gateway: Gateway, trace_id: str, *, as_json: bool, full: bool) -> None:
    """The trace as a waterfall; `trace_id` may be the beginning of one. Raises Trouble."""
    if len(trace_id) < _WHOLE:
        trace_id = _completed(gateway, trace_id.lower())
    try:
        answer = gateway.get(f"/api/traces/{trace_id.lower()}")
    except Trouble as trouble:
        if trouble.status != 404:
            raise
        raise Trouble(
            f"{trouble}; it is not among the traces that are kept: `spangate traces` lists them"
        ) from None
    if as_json:
        document(answer)
    else:
        waterfall.show(table(answer), Screen(), full=full)


def _completed(gateway: Gateway, beginning: str) -> str:
    """The one id that begins so, among the newest."""
    listed = tables(table(gateway.get("/api/traces", {"limit": _SEARCHED})), "traces")
    found = {text(each, "trace_id") for each in listed}
    fitting = sorted(each for each in found if each.startswith(beginning))
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise Trouble(f"no trace that is kept begins with {beginning}")
    raise Trouble(f"{len(fitting)} traces begin with {beginning}: {', '.join(fitting[:5])}")


def _row(told: Table, digits: int) -> list[Cell]:
    failed = told.get("error") is True
    status, errors = whole(told, "status"), whole(told, "errors")
    asked = " ".join(filter(None, (text(told, "method"), text(told, "path"))))
    spans = f"{whole(told, 'spans')}" + (f", {errors} failed" if errors else "")
    return [
        Cell(figures.clock(number(told, "start_unix_ms"))),
        Cell(text(told, "trace_id")[:digits], "dim"),
        Cell(str(status or ("error" if failed else "-")), figures.colour_of(status, failed=failed)),
        Cell(figures.duration(number(told, "duration_ms"))),
        Cell(spans, "red" if errors else ""),
        Cell(asked or text(told, "name"), "", 80),
        Cell(" ".join(texts(told, "services")), "cyan", 60),
    ]
