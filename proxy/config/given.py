"""What sources say, put beside the tables of the file before anything is judged.

The file wins where both have something of one name, and of two sources the one that `Sources` has
first. Nothing of it is expanded: whoever writes to a control plane is not to read this machine's
environment and files by `${…}`. Where a table came from is noted for messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from proxy.config.locate import Path
from proxy.config.report import Report
from proxy.config.shorthand import Raw, as_lists
from proxy.config.source_model import Sources

DEEPEST = 32  # tables within tables; what is deeper is no configuration
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")  # of an upstream that may come
LISTENING = frozenset({"xds", "kubernetes"})  # sources that say listeners as a rule
STAND_IN = {"discover": "source"}  # an upstream until some source says what it is


class Tables(Protocol):
    """What one source says; see proxy/sources/source.py."""

    @property
    def routes(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def upstreams(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def listeners(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def certificates(self) -> Mapping[str, tuple[bytes, bytes]]: ...
    @property
    def authorities(self) -> Mapping[str, bytes]: ...
    @property
    def places(self) -> Mapping[tuple[str | int, ...], str]: ...


Givens = Mapping[str, Tables]  # by the source's name, as in [source.NAME]
NOTHING: Givens = {}


def counting(raw: Raw, given: Givens) -> dict[str, Tables]:
    """Of those given, what the file asks for, the one that wins first."""
    asked = raw.get("source")
    wanted = asked.keys() & given.keys() if isinstance(asked, dict) else ()
    return {name: given[name] for name in Sources.__struct_fields__ if name in wanted}


def put_beside(raw: Raw, given: Givens, report: Report) -> None:
    """Add what sources say to `raw`, whose short forms are as the file has them."""
    if given:
        as_lists(raw, report)
    for source, tables in given.items():
        merge = _Merge(raw, source, tables.places, report)
        merge.upstreams(tables.upstreams)
        merge.several("route", "name", tables.routes)
        merge.several("listen", "address", tables.listeners)


def wait_for_listeners(raw: Raw) -> None:
    """Where a source is there to say where to listen, no address is taken that nobody has said."""
    sources = raw.get("source")
    if isinstance(sources, dict) and not LISTENING.isdisjoint(sources):
        raw.setdefault("listen", [])


def stand_in(raw: Raw, report: Report) -> None:
    """An upstream that a route names and nobody has may be one that a source is yet to give, and
    has no servers until then. A route that a source gives waits for other sources only."""
    sources = raw.get("source")
    upstreams = raw.setdefault("upstream", {}) if sources else {}
    if not isinstance(sources, dict) or not isinstance(upstreams, dict):
        return
    for path, name in _named(raw):
        waits = len(sources) > (report.place(path) is not None)
        if waits and name not in upstreams and NAME.fullmatch(name):
            upstreams[name] = dict(STAND_IN)
            message = f"there is no upstream {name!r} until a source gives it"
            report.warn(path, message, "correct the name if no source does")


def _named(raw: Raw) -> Iterator[tuple[Path, str]]:
    """The upstreams that routes and consumers name, and where."""
    consumers = raw.get("consume")
    for i, consumer in enumerate(consumers if isinstance(consumers, list) else ()):
        if isinstance(consumer, dict) and isinstance(consumer.get("to"), str):
            yield ("consume", i, "to"), consumer["to"]
    routes = raw.get("route")
    for i, route in enumerate(routes if isinstance(routes, list) else ()):
        if isinstance(route, dict):
            to, mirror = route.get("to"), route.get("mirror")
            for name in to if isinstance(to, dict) else ():
                yield ("route", i, "to", name), str(name)
            if isinstance(mirror, dict) and isinstance(mirror.get("to"), str):
                yield ("route", i, "mirror", "to"), mirror["to"]


class _Merge:
    """What one source says on its way into `raw`."""

    __slots__ = ("_deep", "_places", "_raw", "_report", "_source")

    def __init__(self, raw: Raw, source: str, places: Mapping[Path, str], report: Report) -> None:
        self._raw = raw
        self._source = source
        self._places = places
        self._report = report
        self._deep: dict[Path, list[Path]] = {}  # places within a table, by the table's
        for path in places:
            if len(path) > 2:
                self._deep.setdefault(path[:2], []).append(path)

    def upstreams(self, given: Mapping[str, Mapping[str, Any]]) -> None:
        known = self._raw.setdefault("upstream", {}) if given else {}
        if not isinstance(known, dict):
            return  # the file is wrong, and the report will say so
        for name, table in given.items():
            path: Path = ("upstream", name)
            place = self._place(path)
            if name in known:
                self._clash(path, path, place)
                continue
            self._note(path, path, place)
            known[name] = self._copy(table, path)

    def several(self, kind: str, key: str, given: Sequence[Mapping[str, Any]]) -> None:
        """[[route]] or [[listen]], whose names stand at `key`."""
        known = self._raw.setdefault(kind, []) if given else []
        if not isinstance(known, list):
            return
        taken = {_name(table, key): i for i, table in enumerate(known)}
        for i, table in enumerate(given):
            place = self._place((kind, i))
            name = _name(table, key)
            if name and name in taken:
                self._clash((kind, name), (kind, taken[name]), place)
                continue
            path: Path = (kind, len(known))
            self._note((kind, i), path, place)
            known.append(self._copy(table, path))
            taken[name] = len(known) - 1

    def _place(self, path: Path) -> str:
        return self._places.get(path) or f"source {self._source}"

    def _note(self, given: Path, path: Path, place: str) -> None:
        self._report.places[path] = place
        for deep in self._deep.get(given, ()):
            self._report.places[(*path, *deep[2:])] = self._places[deep]

    def _clash(self, path: Path, other: Path, place: str) -> None:
        """`path` of the source has the name of what stands at `other`, which stays."""
        kind, name = path
        what = "address" if kind == "listen" else "name"
        message = f"{kind} {name!r} is left out: {self._report.spot(other)} has that {what}"
        self._report.foreign(place, f"{kind}.{name}", message, "give one of them another")

    def _copy(self, value: Any, path: Path, depth: int = 0) -> Any:
        """What may be changed without changing what was given."""
        if isinstance(value, Mapping):
            if depth < DEEPEST:
                return {key: self._copy(item, path, depth + 1) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            if depth < DEEPEST:
                return [self._copy(item, path, depth + 1) for item in value]
        else:
            return value
        self._report.error(path, f"more than {DEEPEST} tables within each other")
        return None


def _name(table: object, key: str) -> str:
    name = table.get(key) if isinstance(table, Mapping) else table
    return name if isinstance(name, str) else ""
