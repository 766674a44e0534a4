"""A service of Consul: what its instances say, and what it is given as.

It is given as they say, until that is refused. Then it stays as it was, or is like one that says
nothing, since routes of the file may name it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

SCHEMES = {"http": "source", "https": "source+https", "tcp": "source+tcp"}
PLAIN = {"discover": "source"}  # the table of a service that says nothing
PROTOCOLS = {"h2": "h2", "grpc": "h2", "http2": "h2"}


class _Weights(msgspec.Struct, rename="pascal"):
    passing: int = 1


class _Service(msgspec.Struct, rename="pascal"):
    address: str = ""
    port: int = 0
    meta: dict[str, str] | None = None
    weights: _Weights | None = None


class _Node(msgspec.Struct, rename="pascal"):
    address: str = ""


class Instance(msgspec.Struct, rename="pascal"):
    service: _Service
    node: _Node = msgspec.field(default_factory=_Node)


class Watched:
    """One service."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None]
        self.told = asyncio.Event()
        self.said: tuple[dict[str, int], str] | None = None  # servers and note, told last
        self.table = PLAIN  # as its instances say
        self.given: Mapping[str, str] | None = None  # what they said when all were given last
        self.is_makeshift = False  # it is given neither so nor as it was
        self._found: Sequence[Instance] | None = None  # None = it is not known yet
        self._held: Mapping[str, str] = {}  # in force
        self._refused: list[tuple[Mapping[str, str], str]] = []  # tables, and why
        self._is_hopeless = False  # whatever it is given as

    @property
    def best(self) -> Mapping[str, str]:
        """The table that it is given as."""
        good = [one for one in (self.table, self._held) if one and not self._why(one)]
        return good[0] if good else PLAIN

    @property
    def why(self) -> str:
        """It is not given as its instances say; "" = it is."""
        return self._why(self.table)

    def know(self, found: Sequence[Instance]) -> None:
        self._found = found
        if found and (table := table_of(found)) != self.table:
            self.table, self._is_hopeless = table, False

    def take(self, table: Mapping[str, str]) -> None:
        """It is in force."""
        self._held, self._is_hopeless = table, False
        self.is_makeshift &= bool(self.why)

    def refuse(self, table: Mapping[str, str], reason: str) -> bool:
        """Whether it is to be given as something else. Where nothing is good it is given as it is,
        which is what can become good when the file changes."""
        before = self.best
        if self._is_hopeless or table != before:
            return False
        self._refused.append((table, reason))
        if self._why(self.best):
            self.forgive()
            self._is_hopeless = True
        else:
            self.is_makeshift |= self.best != self._held
        return self.best != before

    def forgive(self) -> None:
        self._refused = []

    def _why(self, table: Mapping[str, str]) -> str:
        return next((why for refused, why in self._refused if refused == table), "")

    def servers(self) -> tuple[dict[str, int], str] | None:
        """By the scheme that is in force and by the one that is to be, with a note."""
        if self._found is None:
            return None
        urls: dict[str, int] = {}
        wrong = ""
        for table in filter(None, (self._held, self.best)):
            some, wrong = urls_of(self._found, table["discover"].partition("+")[2] or "http")
            urls |= some
        return urls, "; ".join(filter(None, (wrong, odd_meta(self._found))))


def table_of(instances: Sequence[Instance]) -> dict[str, str]:
    """The upstream of a service, by what its first instance says in its meta data: `scheme` is
    http, https or tcp, `protocol` is h2 (or grpc)."""
    meta = instances[0].service.meta or {} if instances else {}
    table = {"discover": SCHEMES.get(meta.get("scheme", "").lower(), "source")}
    protocol = PROTOCOLS.get(meta.get("protocol", "").lower())
    return {**table, "protocol": protocol} if protocol else table


def odd_meta(instances: Sequence[Instance]) -> str:
    """What its meta data say that is not known, and so is not gone by; "" = nothing."""
    meta = instances[0].service.meta or {} if instances else {}
    known = {"scheme": SCHEMES, "protocol": {**PROTOCOLS, "http": "", "http1": "", "h1": ""}}
    odd = [key for key, values in known.items() if meta.get(key, "").lower() not in ("", *values)]
    return "; ".join(f"meta {key} {meta[key]!r} is not known" for key in odd)


def urls_of(instances: Sequence[Instance], scheme: str) -> tuple[dict[str, int], str]:
    """Servers with their weights, and what was passed over."""
    found: dict[str, int] = {}
    wrong = 0
    for instance in instances:
        service = instance.service
        host = service.address or instance.node.address
        if not host or not 0 < service.port < 65536:
            wrong += 1
            continue
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        weight = service.weights.passing if service.weights is not None else 1
        found[f"{scheme}://{host}:{service.port}"] = max(weight, 1)
    return found, f"{wrong} without an address or a port" if wrong else ""
