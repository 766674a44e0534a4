"""Routes that keep requests away, and paths that other servers would still serve by another name.

"/admin;x/y" (RFC 3986 §3.3), "/admin%2Fy" (§2.2) and "/ADMIN/y" (§6.2.2.1) are other paths than
"/admin/y", so a route for /admin/* does not take them, and one for /* does. Some servers take them
for the same. What means the same to all of them is put right before routes are asked
(`http/path.py`), and leads past nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from proxy.config.model import AuthUse, Defaults, Route
from proxy.routing.pattern import Pattern, is_capture, parse, parse_host
from proxy.routing.table import Table

Said = Callable[[int, str], bool]  # whether a route's key stands in the file

# The keys by which the route that takes such a path says what it wants.
KEYS = ("path_parameters", "encoded_slash", "upper_case")
SLASH = ""  # of a slash at the end, about which no key has a say


@dataclass(frozen=True, slots=True)
class Bypass:
    """Paths that go by a route; by file order."""

    keeper: int  # the route that keeps requests away
    taker: int  # the one that forwards what goes by it
    paths: dict[str, str]  # by the key with which `taker` says what it wants, one of each kind


def find(
    table: Table,
    routes: Sequence[Route],
    defaults: Defaults | None = None,
    said: Said | None = None,
) -> list[Bypass]:
    """All of them, but not where the route that forwards says what it wants, or lets in nobody
    whom the other one refuses. `said` is asked about keys whose default is a value."""
    general = defaults.auth if defaults is not None else None
    wants = said or (lambda index, key: False)
    found: dict[tuple[int, int], Bypass] = {}
    for index, route in enumerate(routes):
        if not _keeps_away(route, general):
            continue
        for host in map(_example, route.host or ["*"]):
            for key, path in _other_names(parse(route.path)):
                for taker in _takers(table, host, path):
                    other = routes[taker]
                    written = wants(taker, key) or _has_a_say(other, key)
                    if not written and _is_past(route, other, general):
                        one = found.setdefault((index, taker), Bypass(index, taker, {}))
                        one.paths.setdefault(key, path)
                        break
    return list(found.values())


def _keeps_away(route: Route, general: AuthUse | None) -> bool:
    if route.respond is not None:
        return route.respond.status >= 400
    asks = general if route.auth is None else route.auth
    return bool(route.allow or route.deny or (asks is not None and asks.names))


def _is_past(keeper: Route, taker: Route, general: AuthUse | None) -> bool:
    """Whether `taker` forwards requests that `keeper` would not."""
    if not taker.to:
        return False
    if keeper.respond is not None:
        return True
    mine = general if keeper.auth is None else keeper.auth
    other = general if taker.auth is None else taker.auth
    if mine is not None and mine.names and not _covers(mine, other):
        return True
    if keeper.allow and not (taker.allow and set(taker.allow) <= set(keeper.allow)):
        return True
    return not set(keeper.deny) <= set(taker.deny)


def _covers(mine: AuthUse, other: AuthUse | None) -> bool:
    """Whether whoever `other` lets in is let in by `mine`, as far as one can tell from names."""
    if other is None or not other.names:
        return False
    must = {*other.all, *(other.any if len(other.any) == 1 else ())}
    one = not mine.any or bool(must & set(mine.any))
    one = one or (bool(other.any) and set(other.any) <= set(mine.any))
    scopes = set(mine.scopes) <= set(other.scopes)
    return one and set(mine.all) <= must and scopes and mine.claims.items() <= other.claims.items()


def _example(host: str) -> str:
    name = parse_host(host)
    return "x" + name if name.startswith(".") else name


def _other_names(pattern: Pattern) -> Iterator[tuple[str, str]]:
    """(key, path) of paths that the pattern would fit if they were written as usual."""
    if pattern.kind in ("regex", "start"):
        return
    segments = ["x" if is_capture(segment) else segment for segment in pattern.segments]
    literal = [i for i, s in enumerate(pattern.segments) if s and not is_capture(s)]
    rest = ["y"] if pattern.kind == "prefix" else []
    for place in literal:
        for key, other in _rewritten(segments[place]):
            parts = [*segments[:place], other, *segments[place + 1 :], *rest]
            yield key, "/" + "/".join(parts)
    if literal:
        yield from _by_slashes(segments, rest)


def _rewritten(segment: str) -> Iterator[tuple[str, str]]:
    yield "path_parameters", segment + ";x"
    if segment.swapcase() != segment and "%" not in segment:
        yield "upper_case", segment.swapcase()


def _by_slashes(segments: list[str], rest: list[str]) -> Iterator[tuple[str, str]]:
    whole = [*segments, *rest]
    for place in range(1, len(whole)):
        yield "encoded_slash", f"/{'/'.join(whole[:place])}%2F{'/'.join(whole[place:])}"
    yield "encoded_slash", "/%2F" + "/".join(whole)
    if not rest:
        end = "/".join(segments)
        yield SLASH, "/" + (end.removesuffix("/") if end.endswith("/") else end + "/")


def _takers(table: Table, host: str, path: str) -> Iterator[int]:
    """The routes that may take it, up to the one that surely does."""
    for leaf in table.candidates(host, path):
        yield leaf.index
        if leaf.conditions is None:
            return


def _has_a_say(route: Route, key: str) -> bool:
    """Whether the route says what it wants to do with such paths; of slashes "keep" is the default
    and says nothing."""
    unsaid = "keep" if key == "encoded_slash" else None
    return key != SLASH and getattr(route, key) != unsaid
