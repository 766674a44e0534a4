"""Servers that sources of configuration say, by upstream: what counts of it, kept for later.

A source may say them before the upstream is in force, and more than one may know an upstream:
then the one that gave its table counts, and for a table of the file the first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from proxy.config.loaded import Loaded
from proxy.config.source_model import Sources
from proxy.config.syntax import parse_server

SHOWN = 100  # characters of a URL in a message
MOST = 1 << 20  # of a weight


class Said(NamedTuple):
    """By one source of one upstream."""

    servers: Mapping[str, int]
    note: str


class Fed:
    """All that is said."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: dict[str, dict[str, Said]] = {}  # by upstream, and by source

    def say(self, source: str, upstream: str, servers: Mapping[str, int], note: str) -> None:
        if servers or upstream in self._said:
            self._said.setdefault(upstream, {})[source] = Said(servers, note)

    def get(self, upstream: str, loaded: Loaded) -> Said | None:
        """What counts, None = nobody has said anything."""
        said = self._said.get(upstream)
        if not said:
            return None
        owner = owner_of(upstream, loaded)
        return said.get(owner) if owner else next(said[s] for s in _ORDER if s in said)

    def keep(self, source: str, upstreams: Iterable[str]) -> None:
        """Of this source, only what is about these."""
        gone = [n for n, said in self._said.items() if source in said]
        kept = set(upstreams)
        for name in gone:
            if name not in kept:
                del self._said[name][source]
                if not self._said[name]:
                    del self._said[name]

    def of(self, source: str) -> dict[str, Mapping[str, int]]:
        """All that it has said."""
        return {n: said[source].servers for n, said in self._said.items() if source in said}


_ORDER = Sources.__struct_fields__


def owner_of(upstream: str, loaded: Loaded) -> str:
    """The source whose table is in force; "" = the file's is."""
    if ("upstream", upstream) not in loaded.places:
        return ""
    return next((name for name, one in loaded.given.items() if upstream in one.upstreams), "")


def sound(
    servers: Mapping[str, int], scheme: str, known: Mapping[str, int]
) -> tuple[dict[str, int], list[str]]:
    """Those that can be asked by `scheme`, and what is wrong with the others; `known` are good.
    Those that are there by `scheme` too are told for a configuration that is coming or leaving."""
    good: dict[str, int] = {}
    wrong = []
    for url, weight in servers.items():
        if known.get(url) != weight and (why := _why(url, weight, scheme)):
            twin = f"{scheme}://{url.partition('://')[2]}"
            if twin != url and twin in servers:
                continue
            wrong.append(f"{url[:SHOWN]!r} {why}")
        else:
            good[url] = weight
    return good, wrong


def _why(url: str, weight: int, scheme: str) -> str:
    try:
        found = parse_server(url).scheme
    except ValueError:
        return "is no URL of a server"
    if found != scheme and (found, scheme) != ("unix", "http"):
        return f"is not {scheme}://, which this upstream is asked by"
    return "" if 0 < weight <= MOST else f"has the weight {weight}"
