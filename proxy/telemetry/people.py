"""The access line for somebody who watches: text in local time, coloured where that is wanted.

Plain Python, unlike its neighbours: who reads lines on a terminal reads some in a second, and
where lines are JSON this is not run. What clients wrote is escaped as in JSON, all of it ASCII.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from proxy.kernel.lines import quote
from proxy.telemetry.blocks import ServerBlock
from proxy.telemetry.facts import Exchange

_DIM, _BOLD, _CYAN, _BLUE, _YELLOW, _RED = "2", "1", "36", "34", "33", "1;31"
_CLASSES = {2: "32", 3: _CYAN, 4: _YELLOW}  # by the status' first digit
_SHORT = 8  # hex digits of a trace id; `spangate traces` finds it by them


@dataclass(frozen=True, slots=True)
class Look:
    """How lines of text are written: `short` on a terminal, whose reader needs no whole trace
    id, and `colour` where the terminal's user has nothing against it."""

    short: bool = False
    colour: bool = False


WHOLE = Look()


def line(exchange: Exchange, block: ServerBlock, query: str, look: Look) -> bytes:
    """Its line with the end; `query` without secrets."""
    written = (
        (f"\x1b[{style}m{text}\x1b[0m" if style and look.colour else text)
        for text, style in _parts(exchange, block, query, look)
        if text
    )
    return "  ".join(written).encode("ascii") + b"\n"


def _parts(
    exchange: Exchange, block: ServerBlock, query: str, look: Look
) -> tuple[tuple[str, str], ...]:
    """Text and style of each part, "" where there is none of it."""
    count = len(exchange.attempts)
    last = exchange.attempts[count - 1] if count else None
    begun = datetime.fromtimestamp(exchange.wall_ns // 1_000_000 / 1e3)
    status = _RED if block.error else _CLASSES.get(block.shown // 100, _RED)
    trace_id = exchange.trace_id.decode("ascii")
    return (
        (begun.isoformat(timespec="milliseconds")[11:], _DIM),
        (f"{block.shown or '-':>3}", status),
        (block.code if block.code != "OK" else "", _RED),
        (_plain(exchange.method), _BOLD),
        (_plain(exchange.host) + _plain(exchange.path) + (query and "?" + _plain(query)), ""),
        (f"{(exchange.end - exchange.start) / 1e6:.1f} ms", ""),
        (block.error, _RED),
        (f"({_plain(exchange.why)})" if exchange.why else "", ""),
        (_plain(exchange.route.name) if exchange.route is not None else "", _CYAN),
        (f"{_plain(last.upstream)} {_plain(last.address)}" if last is not None else "", _BLUE),
        (f"{count} attempts" if count > 1 else "", _YELLOW),
        (trace_id[:_SHORT] if look.short else trace_id, _DIM),
    )


def _plain(value: str | bytes) -> str:
    """As in JSON, without its quotes."""
    quoted = quote(value)
    return quoted[1 : len(quoted) - 1]
