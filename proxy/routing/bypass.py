"""Routes that deny a path which other servers would still serve under another name.

"/admin;x/y" is another path than "/admin/y" (RFC 3986 §3.3), so a route for /admin/* does not take
it, and one for /* does. Servers that know path parameters take them away and serve /admin/y.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proxy.config.model import Route
from proxy.routing.pattern import Pattern, is_capture, parse, parse_host
from proxy.routing.table import Table

Bypass = tuple[int, int, str]


def find(table: Table, routes: Sequence[Route]) -> list[Bypass]:
    """(route that denies, route that forwards what goes by it, such a path), by file order; but
    not where the one that forwards says what it wants to do with parameters."""
    found: dict[tuple[int, int], str] = {}
    for index, route in enumerate(routes):
        if route.respond is None or route.respond.status < 400:
            continue
        for host in map(_example, route.host or ["*"]):
            for path in _with_parameter(parse(route.path)):
                taker = _taker(table, routes, host, path)
                if taker is not None:
                    found.setdefault((index, taker), path)
    return [(*pair, path) for pair, path in found.items()]


def _example(host: str) -> str:
    name = parse_host(host)
    return "x" + name if name.startswith(".") else name


def _with_parameter(pattern: Pattern) -> Iterator[str]:
    """Paths that the pattern would fit without a parameter in one of its fixed segments."""
    segments = ["x" if is_capture(segment) else segment for segment in pattern.segments]
    rest = "/y" if pattern.kind == "prefix" else ""
    for place, segment in enumerate(pattern.segments):
        if segment and not is_capture(segment):
            parts = [*segments[:place], segment + ";x", *segments[place + 1 :]]
            yield "/" + "/".join(parts) + rest


def _taker(table: Table, routes: Sequence[Route], host: str, path: str) -> int | None:
    for leaf in table.candidates(host, path):
        route = routes[leaf.index]
        if route.to and route.path_parameters is None:
            return leaf.index
        if leaf.conditions is None:
            return None
    return None
