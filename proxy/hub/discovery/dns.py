"""Servers by DNS: all A and AAAA records of a name, or SRV records (RFC 2782) and their targets'.

Asked again when the least TTL on the way is over. One family that fails keeps its addresses; an
answer without any address is believed when the next one says the same.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from proxy.config.discover import Discover
from proxy.hub.discovery.lookup import Failed, Records, ask
from proxy.hub.discovery.pace import Pace
from proxy.hub.discovery.source import Tell

MOST = 256  # addresses of an upstream
FINEST = 10_000  # parts of a weight, where targets have different numbers of addresses


class Answer(NamedTuple):
    """What one round of questions has found. `ttl` in seconds."""

    servers: dict[str, int]
    ttl: float = math.inf
    note: str = ""  # what was passed over
    why: str = ""  # there are none


class DnsSource:
    """Asks for the records of `where`; `servers` are asked instead of the system's, if there are
    any. `chance` gives numbers from 0 to 1."""

    def __init__(
        self,
        where: Discover,
        servers: Sequence[tuple[str, int]] = (),
        pace: Pace = Pace(),  # noqa: B008
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._where = where
        self._servers = servers
        self._pace = pace
        self._chance = chance
        self._kept: dict[tuple[str, str], list[str]] = {}  # by name and kind, of those in use

    async def watch(self, tell: Tell) -> None:
        """See Source."""
        failures = empties = 0
        while True:
            try:
                answer = await self._round()
            except Failed as error:
                failures += 1
                tell.failed(str(error))
                pause = self._pace.again(failures, self._chance())
            else:
                failures, empties = 0, 0 if answer.servers else empties + 1
                if empties == 1:
                    tell.failed(f"{answer.why}; it is believed if the next answer says so too")
                else:
                    tell.found(answer.servers, answer.note or answer.why)
                pause = (
                    self._pace.again(empties, self._chance())
                    if empties
                    else self._pace.after(answer.ttl, self._chance())
                )
            await asyncio.sleep(pause)

    async def _round(self) -> Answer:
        where = self._where
        if where.kind == "srv":
            return await self._services()
        found = await self._addresses(where.name)
        servers = {_url(where.scheme, address, where.port): 1 for address in found.values}
        return _bounded(servers, found.ttl, found.why)

    async def _services(self) -> Answer:
        records = await ask(self._where.name, "SRV", self._servers)
        offered = [r for r in records.values if r.port and str(r.target) != "."]
        if not offered:
            return Answer({}, records.ttl, why=records.why or "the service is not offered there")
        ttl, why = records.ttl, ""
        priorities = sorted({record.priority for record in offered})
        for priority in priorities:
            group = [record for record in offered if record.priority == priority]
            names = {str(record.target) for record in group}
            found = dict(zip(names, await self._all_addresses(names), strict=True))
            ttl = min(ttl, *(records.ttl for records in found.values()))
            why = why or next((r.why for r in found.values() if r.why), "")
            servers = _weighted(self._where.scheme, group, found)
            if servers:
                return _bounded(servers, ttl, _others(priority, priorities))
        return Answer({}, ttl, why=f"no target has an address: {why}")

    async def _all_addresses(self, names: set[str]) -> list[Records]:
        return list(await asyncio.gather(*map(self._addresses, names)))

    async def _addresses(self, name: str) -> Records:
        """Of both families, as text."""
        kinds = ("A", "AAAA")
        said = await asyncio.gather(
            *(ask(name, kind, self._servers) for kind in kinds), return_exceptions=True
        )
        if all(isinstance(one, BaseException) for one in said):
            raise next(one for one in said if isinstance(one, BaseException))
        values: list[str] = []
        ttls: list[float] = []
        why = ""
        for kind, one in zip(kinds, said, strict=True):
            if isinstance(one, Failed):
                ttls.append(self._pace.slowest)  # what fails is asked again sooner
            elif isinstance(one, BaseException):
                raise one
            else:
                self._kept[name, kind] = list(filter(usable, map(str, one.values)))
                ttls += [one.ttl] if one.values else []
                why = why or one.why
            values += self._kept.get((name, kind), [])
        if not values and any(isinstance(one, Failed) for one in said):
            raise next(one for one in said if isinstance(one, Failed))
        return Records(values, min(ttls, default=math.inf), "" if values else why or UNUSABLE)


UNUSABLE = "no address in the answer can be connected to"


def usable(address: str) -> bool:
    """Whether a server can be there: "0.0.0.0", which filters answer, is the gateway itself."""
    ip = ipaddress.ip_address(address)
    return not (ip.is_unspecified or ip.is_multicast or address == "255.255.255.255") and not (
        ip.version == 6 and ip.is_link_local
    )


def _weighted(scheme: str, group: Sequence[Any], found: dict[str, Records]) -> dict[str, int]:
    """Each target's weight, shared by its addresses; 0 is the least (RFC 2782)."""
    sizes = [len(found[str(record.target)].values) for record in group]
    parts = min(math.lcm(*(size for size in sizes if size)), FINEST)
    servers: dict[str, int] = {}
    for record, size in zip(group, sizes, strict=True):
        for address in found[str(record.target)].values:
            url = _url(scheme, address, record.port)
            servers[url] = servers.get(url, 0) + max(1, max(1, record.weight) * parts // size)
    least = math.gcd(*servers.values())
    return {url: weight // least for url, weight in servers.items()}


def _others(used: int, priorities: Sequence[int]) -> str:
    rest = [str(priority) for priority in priorities if priority != used]
    if not rest:
        return ""
    return f"records of priority {', '.join(rest)} are passed over: those of {used} are in use"


def _bounded(servers: dict[str, int], ttl: float, note: str) -> Answer:
    if not servers:
        return Answer({}, ttl, why=note)
    chosen = sorted(servers)[:MOST]  # the same ones each time, in whatever order they come
    if len(chosen) < len(servers):
        note = f"{len(servers)} addresses, of which {MOST} are used"
    return Answer({url: servers[url] for url in chosen}, ttl, note)


def _url(scheme: str, address: str, port: int) -> str:
    return f"{scheme}://[{address}]:{port}" if ":" in address else f"{scheme}://{address}:{port}"
