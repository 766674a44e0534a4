"""Consul: an upstream for each service of its catalogue, with the instances that pass its checks.

Each list is asked for by a blocking query: Consul answers when it is another one, or when the wait
is over (https://developer.hashicorp.com/consul/api-docs/features/blocking). Instances go to the
roster without a reload; a service that comes or goes is a new state.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from proxy.config.section import Name
from proxy.config.source_model import ConsulSource
from proxy.pauses import doubled
from proxy.sources.asking import ANSWER, Servers, Trouble, context, pause, said, whole
from proxy.sources.source import About, Given, Hears
from proxy.sources.troubles import Troubles
from proxy.tasks import cancel, spawn

WAIT = 55  # seconds that Consul is to wait; it adds a sixteenth of it by chance
SOON = 1.0  # seconds that the instances of new services are waited for
APART = 0.05  # seconds between two answers of one list at the least
ALIKE = 1.0  # the same, the more of them have been alike and where queries do not block
SCHEMES = {"http": "source", "https": "source+https", "tcp": "source+tcp"}
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


class _Instance(msgspec.Struct, rename="pascal"):
    service: _Service
    node: _Node = msgspec.field(default_factory=_Node)


_catalogue = msgspec.json.Decoder(dict[str, list[str] | None])
_instances = msgspec.json.Decoder(list[_Instance])


def make(settings: ConsulSource, about: About) -> Consul:
    """See making."""
    return Consul(settings, about)


class Consul:
    """One datacenter as one agent knows it."""

    def __init__(self, settings: ConsulSource, about: About) -> None:
        self._settings = settings
        self._folder = about.folder
        self._watches: dict[str, _Watched] = {}
        self._left_out: list[str] = []
        self._hears: Hears
        self._troubles: Troubles
        self._version = 0

    async def watch(self, hears: Hears) -> None:
        """See Source."""
        self._hears, self._troubles = hears, Troubles(hears)
        servers: Servers | None = None
        failures = 0
        try:
            while servers is None:
                try:
                    tls = context(self._settings.tls, self._folder)
                    servers = Servers([self._settings.server], tls, at_once=0)
                except Trouble as trouble:
                    failures += 1
                    hears.failed(str(trouble))
                    await asyncio.sleep(pause(failures, random.random()))
            await self._go_on(servers, hears)
        finally:
            self._troubles.stop()
            await cancel(*(one.task for one in self._watches.values()))
            self._watches.clear()
            if servers is not None:
                await servers.close()

    def settled(self, given: Given, reasons: Sequence[str]) -> bool:
        """See Source. There is nothing to leave out: names were looked at."""
        return False

    async def _go_on(self, servers: Servers, hears: Hears) -> None:
        if self._settings.services:
            await self._know(dict.fromkeys(self._settings.services), servers, hears)
            await asyncio.Event().wait()
        async for found in self._changes("/v1/catalog/services", {}, _catalogue, servers, hears):
            await self._know(found, servers, hears)

    async def _know(
        self, services: Mapping[str, list[str] | None], servers: Servers, hears: Hears
    ) -> None:
        """These services there are, and no others."""
        tag = self._settings.tag
        wanted = [name for name, tags in services.items() if not tag or tags is None or tag in tags]
        good = {name for name in wanted if _is_name(self._settings.prefix + name)}
        self._left_out = [
            f"consul service {name!r}: no upstream can be called so"
            for name in sorted(set(wanted) - good)
        ]
        for name in self._watches.keys() - good:
            watched = self._watches.pop(name)
            watched.task.cancel()
            self._troubles.heard(_path(name))
            hears.servers(self._settings.prefix + name, {})
        new = [self._begin(name, servers, hears) for name in sorted(good - self._watches.keys())]
        if new:
            waiting = [spawn(one.told.wait(), "first instances") for one in new]
            await asyncio.wait(waiting, timeout=SOON)
            await cancel(*waiting)
        self._give()

    def _begin(self, name: str, servers: Servers, hears: Hears) -> _Watched:
        watched = self._watches[name] = _Watched()
        watched.task = spawn(self._watch(name, watched, servers, hears), f"consul {name}")
        return watched

    async def _watch(self, name: str, watched: _Watched, servers: Servers, hears: Hears) -> None:
        path = _path(name)
        query = {"passing": "1", **({"tag": self._settings.tag} if self._settings.tag else {})}
        async for found in self._changes(path, query, _instances, servers, hears):
            table = table_of(found)
            scheme = table["discover"].partition("+")[2] or "http"
            urls, wrong = urls_of(found, scheme)
            if found:
                watched.table = table
            if watched.given not in (None, watched.table):
                self._give()
            note = "; ".join(filter(None, (wrong, odd_meta(found))))
            hears.servers(self._settings.prefix + name, urls, note)
            watched.told.set()

    def _give(self) -> None:
        self._version += 1
        prefix = self._settings.prefix
        names = sorted(self._watches)
        for watched in self._watches.values():
            watched.given = watched.table
        given = Given(
            str(self._version),
            upstreams={prefix + name: self._watches[name].table for name in names},
            places={("upstream", prefix + name): f"consul service {name}" for name in names},
            left_out=self._left_out,
        )
        self._hears.given(given)

    async def _changes(
        self,
        path: str,
        query: Mapping[str, str],
        decoder: msgspec.json.Decoder[Any],
        servers: Servers,
        hears: Hears,
    ) -> AsyncIterator[Any]:
        """What is there, and again whenever it is something else. Failures are told."""
        index = failures = idle = 0
        last: Any = None
        while True:
            try:
                now, body = await self._ask(path, query, index, servers)
                found = _parsed(decoder, body)
            except Trouble as trouble:
                failures += 1
                index = 0
                self._troubles.failed(path, str(trouble))
                await asyncio.sleep(pause(failures, random.random()))
                continue
            failures = 0
            self._troubles.heard(path)
            index = now if now >= index and now > 0 else 0  # that of a restored server is less
            idle = idle + 1 if found == last else 0
            if found != last:
                last = found
                yield found
            await asyncio.sleep(doubled(APART, idle, ALIKE) if index else ALIKE)

    async def _ask(
        self, path: str, query: Mapping[str, str], index: int, servers: Servers
    ) -> tuple[int, bytes]:
        said_ = dict(query)
        if self._settings.datacenter:
            said_["dc"] = self._settings.datacenter
        seconds = ANSWER
        if index:
            said_ |= {"index": str(index), "wait": f"{WAIT}s"}
            seconds += WAIT * (1 + 1 / 16)
        headers = {"X-Consul-Token": self._settings.token} if self._settings.token else {}
        target = f"{path}?{urlencode(said_)}" if said_ else path
        async with servers.ask("GET", target, headers=headers, seconds=seconds) as response:
            body = await whole(response)
            if response.status != 200:
                why = said(body[:1000].decode(errors="replace"))
                raise Trouble(f"{servers.url}{path} answered {response.status}: {why}")
            written = response.headers.get("X-Consul-Index", "")
            return int(written) if re.fullmatch(r"[0-9]{1,18}", written) else 0, body


class _Watched:
    """One service."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None]
        self.table: dict[str, str] = dict(table_of([]))
        self.given: dict[str, str] | None = None  # the table that was given last
        self.told = asyncio.Event()


def _path(service: str) -> str:
    return f"/v1/health/service/{quote(service, safe='')}"


def table_of(instances: Sequence[_Instance]) -> dict[str, str]:
    """The upstream of a service, by what its first instance says in its meta data: `scheme` is
    http, https or tcp, `protocol` is h2 (or grpc)."""
    meta = instances[0].service.meta or {} if instances else {}
    table = {"discover": SCHEMES.get(meta.get("scheme", "").lower(), "source")}
    protocol = PROTOCOLS.get(meta.get("protocol", "").lower())
    return {**table, "protocol": protocol} if protocol else table


def odd_meta(instances: Sequence[_Instance]) -> str:
    """What its meta data say that is not known, and so is not gone by; "" = nothing."""
    meta = instances[0].service.meta or {} if instances else {}
    known = {"scheme": SCHEMES, "protocol": {**PROTOCOLS, "http": "", "http1": "", "h1": ""}}
    odd = [key for key, values in known.items() if meta.get(key, "").lower() not in ("", *values)]
    return "; ".join(f"meta {key} {meta[key]!r} is not known" for key in odd)


def urls_of(instances: Sequence[_Instance], scheme: str) -> tuple[dict[str, int], str]:
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


def _is_name(text: str) -> bool:
    try:
        msgspec.convert(text, Name)
    except msgspec.ValidationError:
        return False
    return True


def _parsed(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise Trouble(f"the answer is none of Consul's: {said(error)}") from None
