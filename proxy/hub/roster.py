"""Every endpoint of every upstream as the hub knows it, and why it gets requests or not.

Probes, passive judgement, operators and discovery tell the roster; the roster tells the workers,
each change in one frame, and all of it to a worker that is new. It decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from proxy.config.model import Upstream
from proxy.hub.boards import Boards, Key
from proxy.server.endpoints import Change, payloads
from proxy.upstream.state import shares


@dataclass(slots=True)
class Member:
    """One endpoint."""

    weight: int
    number: int = -1  # on the board
    up: bool | None = None  # what active probes say; None = there are none
    ejected: bool = False
    drained: bool = False
    discovered: bool = False  # no file says it

    def change(self) -> Change:
        """What a worker that has only read the configuration does not know of it."""
        return Change(
            up=self.up,
            weight=self.weight if self.discovered else None,
            number=self.number if self.number >= 0 else None,
            ejected=self.ejected or None,
            drained=self.drained or None,
            added=self.discovered,
        )


class Roster:
    """`tell` sends a payload of an ENDPOINTS frame to all workers."""

    def __init__(self, boards: Boards, tell: Callable[[bytes], None]) -> None:
        self._boards = boards
        self._tell = tell
        self._members: dict[Key, Member] = {}
        self._sharing: set[str] = set()  # upstreams whose endpoints need numbers
        self._limited: dict[Key, int] = {}  # upstreams that need one themselves, under URL ""

    def __iter__(self) -> Iterator[tuple[Key, Member]]:
        return iter(self._members.items())

    def get(self, key: Key) -> Member | None:
        return self._members.get(key)

    def of(self, upstream: str) -> dict[str, Member]:
        """An upstream's endpoints by URL."""
        return {url: member for (name, url), member in self._members.items() if name == upstream}

    def configure(self, upstreams: Mapping[str, Upstream]) -> None:
        """Go by this configuration. What is known of those that stay, stays; what was discovered
        for an upstream stays as long as the upstream does."""
        members: dict[Key, Member] = {}
        for name, upstream in upstreams.items():
            for url, weight in upstream.everyone().items():
                member = members[name, url] = self._members.get((name, url)) or Member(weight)
                member.weight, member.discovered = weight, False
                if upstream.health is None:
                    member.up = None
        for key, member in self._members.items():
            if member.discovered and key[0] in upstreams:
                members.setdefault(key, member)
        self._members = members
        self._sharing = {name for name, upstream in upstreams.items() if shares(upstream)}
        limited = [name for name, upstream in upstreams.items() if upstream.limits is not None]
        self._limited = {(name, ""): -1 for name in limited}
        self._number()

    def messages(self) -> Iterator[bytes]:
        """All that a worker needs to know besides the configuration."""
        yield from payloads(
            (key, change)
            for key, member in self._members.items()
            if (change := member.change()) != Change()
        )
        yield from payloads((key, Change(number=n)) for key, n in self._limited.items() if n >= 0)

    def probed(self, changes: Mapping[Key, bool]) -> None:
        """What probes have found."""
        self._note((key, Change(up=up)) for key, up in changes.items())

    def eject(self, key: Key, ejected: bool) -> None:
        """Its answers were too bad, or its time out is over."""
        self._note([(key, Change(ejected=ejected))])

    def drain(self, key: Key, drained: bool) -> None:
        """An operator said so."""
        self._note([(key, Change(drained=drained))])

    def discovered(self, upstream: str, servers: Mapping[str, int]) -> None:
        """These, by URL with their weights, and no others besides what the file says."""
        news: dict[Key, Change] = {}
        for url, weight in servers.items():
            member = self._members.get((upstream, url))
            if member is None:
                self._members[upstream, url] = Member(weight, discovered=True)
                news[upstream, url] = Change(added=True, weight=weight)
            elif member.discovered and member.weight != weight:
                member.weight = weight
                news[upstream, url] = Change(weight=weight)
        for url, member in self.of(upstream).items():
            if member.discovered and url not in servers:
                del self._members[upstream, url]
                news[upstream, url] = Change(removed=True)
        for key in self._number() & news.keys():
            news[key].number = self._members[key].number
        for payload in payloads(news.items()):
            self._tell(payload)

    def _note(self, news: Iterator[tuple[Key, Change]] | list[tuple[Key, Change]]) -> None:
        known = []
        for key, change in news:
            member = self._members.get(key)
            if member is None:
                continue
            member.up = member.up if change.up is None else change.up
            member.ejected = member.ejected if change.ejected is None else change.ejected
            member.drained = member.drained if change.drained is None else change.drained
            known.append((key, change))
        for payload in payloads(known):
            self._tell(payload)

    def _number(self) -> set[Key]:
        """Give numbers; whose has changed."""
        wanted = [key for key in self._members if key[0] in self._sharing]
        numbers = self._boards.number([*self._limited, *wanted])
        self._limited = {key: numbers[key] for key in self._limited}
        changed = set()
        for key, member in self._members.items():
            number = numbers.get(key, -1)
            if member.number != number:
                member.number = number
                changed.add(key)
        return changed
