"""`spangate mesh status`: what /mesh of a running sidecar says, on one readable page."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.terminal import figures
from proxy.terminal.client import Gateway, Trouble
from proxy.terminal.fields import Table, number, table, tables, text, whole
from proxy.terminal.screen import Cell, Column, Screen, document

_PEERS = (
    Column("peer", gives=True),
    Column("has called here", right=True),
    Column("was called", right=True),
)
_ROOTS = (Column("trust domain"), Column("authority", gives=True), Column("until"))
_WHY = (Column("refused"), Column("why"), Column("times", right=True))


def show(gateway: Gateway, *, as_json: bool) -> None:
    answer = gateway.get("/mesh")
    told = table(answer)
    if as_json:
        document(answer)
    elif told.get("mesh") is not True:
        raise Trouble(f"{gateway.at.written} is in no mesh: its file has no [mesh]")
    else:
        _show(told)


def _show(told: Table) -> None:
    screen = Screen()
    _heading(told, screen)
    for columns, rows in (
        (_ROOTS, list(_roots(told))),
        (_PEERS, list(_peers(told))),
        (_WHY, list(_refused(told))),
    ):
        if rows:
            screen.line([Cell(" ")])
            screen.table(columns, rows)


def _heading(told: Table, screen: Screen) -> None:
    own = table(told.get("identity"))
    mtls = Cell(f"mtls {text(told, 'mtls')}")
    if not own:
        screen.line([Cell("no identity", "bold red"), mtls])
    else:
        left = number(own, "remaining_seconds") or 0.0
        over = own.get("expired") is True
        words = "expired" if over else f"for {figures.since(left)} more"
        screen.line([Cell(text(own, "id"), "bold"), Cell(words, "bold red" if over else ""), mtls])
        screen.line([Cell("SHA-256"), Cell(text(own, "sha256"), "dim", 100)])
    if source := text(told, "source"):
        screen.line([Cell("from"), Cell(source)])
    if error := text(told, "error"):
        screen.line([Cell("no new one:"), Cell(error, "bold red", 2000)])


def _roots(told: Table) -> Iterator[list[Cell]]:
    trust = table(told.get("trust"))
    for domain in trust:
        for root in tables(trust, domain):
            yield [Cell(str(domain)), Cell(text(root, "sha256")), Cell(text(root, "until"))]


def _peers(told: Table) -> Iterator[list[Cell]]:
    for peer in tables(told, "peers"):
        times = (Cell(str(whole(peer, key))) for key in ("inbound", "outbound"))
        yield [Cell(text(peer, "identity"), "cyan"), *times]


def _refused(told: Table) -> Iterator[list[Cell]]:
    failed = table(told.get("handshakes_failed"))
    for direction in ("inbound", "outbound"):
        of = table(failed.get(direction))
        for reason in of:
            yield [Cell(f"{direction} handshake"), Cell(str(reason)), Cell(str(whole(of, reason)))]
    denied = table(told.get("denied"))
    for reason in denied:
        yield [Cell("request"), Cell(str(reason)), Cell(str(whole(denied, reason)))]
