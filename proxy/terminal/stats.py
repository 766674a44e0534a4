"""`spangate stats`: what /stats of a running gateway says, on one readable page."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.terminal import figures
from proxy.terminal.client import Gateway
from proxy.terminal.fields import Table, number, shown, table, tables, text, whole
from proxy.terminal.screen import Cell, Column, Screen, document

_WORKERS = (
    Column("worker"),
    Column("pid", right=True),
    Column("state"),
    *(Column(title, right=True) for title in ("requests", "connections", "restarts", "memory")),
)
_UPSTREAMS = (
    Column("upstream", gives=True),
    Column("server", gives=True),
    Column("weight", right=True),
    Column("state"),
    Column("last probe", gives=True),
)
_BOOKS = (
    Column("exporter", gives=True),
    Column("signal"),
    *(Column(title, right=True) for title in ("created", "exported", "dropped", "queued")),
    Column("state"),
    Column("why dropped", gives=True),
)


def show(gateway: Gateway, *, as_json: bool) -> None:
    answer = gateway.get("/stats")
    if as_json:
        document(answer)
        return
    told, screen = table(answer), Screen()
    _heading(told, screen)
    for columns, rows in (
        (_WORKERS, list(_workers(told))),
        (_UPSTREAMS, list(_servers(told))),
        (_BOOKS, list(_books(told))),
    ):
        if rows:
            screen.line([Cell(" ")])
            screen.table(columns, rows)
    for exporter, signal, book in _each_book(told):
        if book.get("healthy") is False and (error := text(book, "last_error")):
            screen.line([Cell(exporter, "cyan"), Cell(signal), Cell(error, "bold red", 2000)])


def _heading(told: Table, screen: Screen) -> None:
    up = told.get("ready") is True
    screen.line(
        [
            Cell(f"spangate {text(told, 'version')}", "bold"),
            Cell(text(told, "build"), "dim"),
            Cell(f"up {figures.since(number(told, 'uptime_seconds') or 0.0)}"),
            Cell("ready" if up else "not ready", "green" if up else "bold red"),
        ]
    )
    listens = ", ".join(text(each, "address") for each in tables(told, "listeners"))
    routes, reloads = len(tables(told, "routes")), table(told.get("reloads"))
    failed = whole(reloads, "failed")
    screen.line([Cell("listens on"), Cell(listens or "nothing")])
    screen.line([Cell(figures.plural(routes, "route"))])
    done = f"{figures.plural(whole(reloads, 'succeeded'), 'reload')}, {failed} refused"
    screen.line([Cell(done, "red" if failed else "")])
    if error := text(told, "last_reload_error"):
        screen.line([Cell("last reload:"), Cell(error, "bold red", 2000)])


def _workers(told: Table) -> Iterator[list[Cell]]:
    for worker in tables(told, "workers"):
        state, restarts = text(worker, "state"), whole(worker, "restarts")
        yield [
            Cell(text(worker, "slot")),
            Cell(text(worker, "pid")),
            Cell(state, "green" if state == "ready" else "yellow"),
            Cell(f"{whole(worker, 'requests'):,}"),
            Cell(f"{whole(worker, 'connections'):,}"),
            Cell(str(restarts), "red" if restarts else "dim"),
            Cell(f"{whole(worker, 'rss') / 2**20:.0f} MiB"),
        ]


def _servers(told: Table) -> Iterator[list[Cell]]:
    for name, upstream in table(told.get("upstreams")).items():
        servers = tables(table(upstream), "servers")
        if not servers:
            yield [Cell(name, "cyan"), Cell("none", "bold red"), *[Cell("")] * 3]
        for server in servers:
            up = server.get("up") is True
            last = server.get("last_probe")
            yield [
                Cell(name, "cyan"),
                Cell(text(server, "url")),
                Cell(text(server, "weight")),
                Cell("up" if up else "down", "green" if up else "bold red"),
                Cell(_probe(table(last))),
            ]


def _probe(last: Table) -> str:
    """What is told of it, as words."""
    return ", ".join(f"{key} {shown(value)}" for key, value in last.items() if value is not None)


def _books(told: Table) -> Iterator[list[Cell]]:
    for exporter, signal, book in _each_book(told):
        yield _book(exporter, signal, book)


def _each_book(told: Table) -> Iterator[tuple[str, str, Table]]:
    for exporter, signals in table(told.get("export")).items():
        for signal, book in table(signals).items():
            yield exporter, signal, table(book)


def _book(exporter: str, signal: str, book: Table) -> list[Cell]:
    dropped = table(book.get("dropped"))
    lost = sum(whole(dropped, reason) for reason in dropped)
    is_well = book.get("healthy") is not False
    reasons = ", ".join(f"{reason} {shown(count)}" for reason, count in dropped.items() if count)
    return [
        Cell(exporter, "cyan"),
        Cell(signal),
        Cell(f"{whole(book, 'created'):,}"),
        Cell(f"{whole(book, 'exported'):,}"),
        Cell(f"{lost:,}", "bold red" if lost else "dim"),
        Cell(f"{whole(book, 'queued'):,}"),
        Cell("well" if is_well else "failing", "green" if is_well else "bold red"),
        Cell(reasons, "red"),
    ]
