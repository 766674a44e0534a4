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
from proxy.sources.consul_service import Instance, Watched
from proxy.sources.source import About, Given, Hears
from proxy.sources.troubles import Troubles
from proxy.tasks import cancel, spawn

WAIT = 55  # seconds that Consul is to wait; it adds a sixteenth of it by chance
SOON = 1.0  # seconds that the instances of new services are waited for
APART = 0.05  # seconds between two answers of one list at the least
ALIKE = 1.0  # the same, the more of them have been alike and where queries do not block
PLACE = "consul service "  # how places of services begin


_catalogue = msgspec.json.Decoder(dict[str, list[str] | None])
_instances = msgspec.json.Decoder(list[Instance])


def make(settings: ConsulSource, about: About) -> Consul:
    """See making."""
    return Consul(settings, about)


class Consul:
    """One datacenter as one agent knows it."""

    def __init__(self, settings: ConsulSource, about: About) -> None:
        self._settings = settings
        self._folder = about.folder
        self._watches: dict[str, Watched] = {}
        self._left_out: list[str] = []
        self._hears: Hears
        self._troubles: Troubles
        self._version = 0
        self._given: Given | None = None
        self._may_look_again = False  # at what was refused: the rest has come into force since

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
        """See Source. A service that is refused stays as it was, or is like one that says
        nothing: routes of the file may name it, so that it cannot be left out."""
        is_worse = False
        if reasons:
            blamed = [self._refuse(given, reason) for reason in reasons]
            is_worse = any(blamed)
            self._may_look_again &= not is_worse
        else:
            self._may_look_again = True
            for name, watched in self._watches.items():
                watched.take(given.upstreams.get(self._settings.prefix + name, {}))
        is_newest = given is self._given
        if is_worse:
            self._give()
        else:
            self._tell_servers()
        return is_worse and is_newest

    def _refuse(self, given: Given, reason: str) -> bool:
        """Whether the service that it is about is to be given otherwise."""
        name = reason.partition(":")[0].removeprefix(PLACE)  # there is none in their names
        watched = self._watches.get(name)
        table = given.upstreams.get(self._settings.prefix + name)
        if watched is None or table is None or not reason.startswith(f"{PLACE}{name}:"):
            return False
        return watched.refuse(table, reason)

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
            f"{PLACE}{name!r}: no upstream can be called so" for name in sorted(set(wanted) - good)
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
        self._give_anew()

    def _begin(self, name: str, servers: Servers, hears: Hears) -> Watched:
        watched = self._watches[name] = Watched()
        watched.task = spawn(self._watch(name, watched, servers, hears), f"consul {name}")
        return watched

    async def _watch(self, name: str, watched: Watched, servers: Servers, hears: Hears) -> None:
        path = _path(name)
        query = {"passing": "1", **({"tag": self._settings.tag} if self._settings.tag else {})}
        async for found in self._changes(path, query, _instances, servers, hears):
            watched.know(found)
            if watched.given not in (None, watched.table):
                self._give_anew()
            self._tell_servers()
            watched.told.set()

    def _tell_servers(self) -> None:
        """Those that are others than were told last."""
        for name, watched in self._watches.items():
            said_ = watched.servers()
            if said_ not in (None, watched.said):
                watched.said = said_
                self._hears.servers(self._settings.prefix + name, *said_)

    def _give_anew(self) -> None:
        """What was refused may be good beside what has changed."""
        if self._may_look_again:
            for watched in self._watches.values():
                watched.forgive()
        self._give()

    def _give(self) -> None:
        self._version += 1
        prefix = self._settings.prefix
        watches = dict(sorted(self._watches.items()))
        refused = {name: one for name, one in watches.items() if one.why}
        renewed = [f"{PLACE}{n}" for n, one in watches.items() if one.given != one.table]
        for watched in watches.values():
            watched.given = watched.table
        self._given = Given(
            str(self._version),
            upstreams={prefix + name: dict(one.best) for name, one in watches.items()},
            places={("upstream", prefix + name): f"{PLACE}{name}" for name in watches},
            left_out=[*self._left_out, *(one.why for one in refused.values())],
            kept=[one.why for one in refused.values() if not one.is_makeshift],
            amiss=[f"{PLACE}{name}" for name in refused],
            renewed=renewed,
        )
        self._hears.given(self._given)
        self._tell_servers()

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


def _path(service: str) -> str:
    return f"/v1/health/service/{quote(service, safe='')}"


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
