"""Every endpoint of every upstream as the hub knows it, and why it gets requests or not.

Probes, passive judgement, operators and discovery tell the roster; the roster tells the workers,
each change in one frame, and all of it to a worker that is new. It decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from proxy.config.model import Upstream
from proxy.hub.boards import Boards, Key
from proxy.server.endpoints import Change, payloads
from proxy.upstream.state import shares

NOTHING = Change()


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
        self._found: dict[str, set[str]] = {}  # URLs that were discovered, by upstream
        self._sharing: set[str] = set()  # upstreams whose endpoints need numbers
        self._held: dict[Key, Change] | None = None  # what is to be told together
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
        for _ in self.steps(upstreams):
            pass

    def steps(self, upstreams: Mapping[str, Upstream]) -> Iterator[None]:
        """The same, a little in each step; what is told between two of them is not lost."""
        for name, upstream in upstreams.items():
            self._keep(name, upstream)
            yield
        for key in list(self._members):
            self._drop_unless_in(upstreams, key)
            yield
        shared = bool(self._sharing)
        self._sharing = {name for name, upstream in upstreams.items() if shares(upstream)}
        limited = [name for name, upstream in upstreams.items() if upstream.limits is not None]
        self._limited = {(name, ""): -1 for name in limited}
        yield
        self._number(shared or bool(self._sharing))

    def _keep(self, name: str, upstream: Upstream) -> None:
        """The servers that the configuration says of one upstream."""
        for url, weight in upstream.everyone().items():
            member = self._members.setdefault((name, url), Member(weight))
            member.weight = weight
            if member.discovered:
                member.discovered = False
                self._found[name].discard(url)
            if upstream.health is None:
                member.up = None

    def _drop_unless_in(self, upstreams: Mapping[str, Upstream], key: Key) -> None:
        name, url = key
        member, upstream = self._members.get(key), upstreams.get(name)
        if upstream is None:
            self._found.pop(name, None)
        elif member is None or member.discovered or url in upstream.everyone():
            return
        self._members.pop(key, None)

    def messages(self) -> Iterator[bytes]:
        """All that a worker needs to know besides the configuration."""
        yield from payloads(
            (key, change)
            for key in list(self._members)  # they may come and go before the next message is made
            if (member := self._members.get(key)) and (change := member.change()) != NOTHING
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

    def discovered(
        self, upstream: str, servers: Mapping[str, int], changed: Iterable[str] | None = None
    ) -> None:
        """These, by URL with their weights, and no others besides what the file says. `changed`:
        only these can differ from what was said before; None = any may. It costs what those do."""
        news: dict[Key, Change] = {}
        came: list[Key] = []
        found = self._found.setdefault(upstream, set())
        for url in {**servers, **dict.fromkeys(found)} if changed is None else changed:
            key, weight = (upstream, url), servers.get(url)
            member = self._members.get(key)
            if weight is None:
                if member is not None and member.discovered:
                    del self._members[key]
                    found.discard(url)
                    news[key] = Change(removed=True)
            elif member is None:
                self._members[key] = Member(weight, discovered=True)
                found.add(url)
                news[key] = Change(added=True, weight=weight)
                came.append(key)
            elif member.discovered and member.weight != weight:
                member.weight = weight
                news[key] = Change(weight=weight)
        if upstream in self._sharing:
            self._renumber(came, news)
        if self._held is None:
            self._tell_all(news)
        elif self._held.keys().isdisjoint(news):
            self._held |= news
        else:  # what is known of one endpoint comes in its order
            self._tell_all(self._held)
            self._held = news

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is discovered within, in one turn, is told in as few frames as there can be."""
        self._held = {}
        try:
            yield
        finally:
            held, self._held = self._held, None
            self._tell_all(held)

    def _tell_all(self, news: Mapping[Key, Change]) -> None:
        for payload in payloads(news.items()):
            self._tell(payload)

    def _renumber(self, came: list[Key], news: dict[Key, Change]) -> None:
        """Numbers of those that are gone go to those that came, and no others: who has none
        because there were none waits for the next configuration."""
        for key, change in news.items():
            if change.removed:
                self._boards.drop(key)
        for key in came:
            news[key].number = self._members[key].number = self._boards.give(key)

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

    def _number(self, shared: bool) -> None:
        """Give numbers; `shared`: some endpoint has one, or is to have one."""
        wanted = [key for key in self._members if key[0] in self._sharing] if shared else []
        numbers = self._boards.number([*self._limited, *wanted])
        self._limited = {key: numbers[key] for key in self._limited}
        for key, member in self._members.items() if shared else ():
            member.number = numbers.get(key, -1)
