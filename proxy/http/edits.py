"""What is different in a head that leaves, collected beside the head that came.

Lines of the received head whose names are `removed` are left out when it is written, all others
leave as they came; `added` lines follow them. So nothing that a client sends can take away what
the gateway adds, and a codec may copy runs of untouched lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.http.head import Pair, ResponseHead

WANTS_TRAILERS = 1  # whoever asked understands trailers
WANTS_TUNNEL = 2  # the protocol may be switched


class Edits:
    """The changes of one head. Names in lower case; whoever collects them may append to `added`."""

    __slots__ = ("added", "authority", "removed", "target", "wants")

    def __init__(self, target: str = "", authority: str = "") -> None:
        self.begin(target, authority)

    def begin(self, target: str, authority: str) -> None:
        """Set all of new ones; alone it is cheaper than by __init__ (make bench-check)."""
        self.target = target  # of a request: path and query as the upstream is asked for them
        self.authority = authority  # of a request: what Host or :authority says
        self.wants = 0  # of a request: WANTS_TRAILERS, WANTS_TUNNEL
        self.removed: frozenset[bytes] | None = None
        self.added: list[Pair] = []

    def add(self, name: bytes, value: bytes) -> None:
        """One more line, whatever lines of that name there are."""
        self.added.append((name, value))

    def extend(self, pairs: list[Pair]) -> None:
        """More lines."""
        self.added += pairs

    def remove(self, names: frozenset[bytes]) -> None:
        """No line with one of these names, neither received nor added until now."""
        self.removed = names if self.removed is None else self.removed | names
        self.added = [pair for pair in self.added if pair[0] not in names]

    def take(self, others: Edits) -> None:
        """The same changes as `others`, after those made until now."""
        if others.removed is not None:
            self.remove(others.removed)
        self.added += others.added

    def read(
        self, head: ResponseHead, more: list[Pair], names: Iterable[tuple[bytes, str, str]]
    ) -> list[tuple[str, str]]:
        """What `head` says once it is changed and followed by `more`: for each (name, key, what to
        say instead) the values under their key, those of one line each apart."""
        found = []
        for name, key, instead in names:
            values = [value for n, value in self.added + more if n == name]
            came = head.get(name)
            is_replaced = self.removed is not None and name in self.removed
            if came is not None and not is_replaced and not (values and name in head.fields):
                values.insert(0, came)
            for value in values:
                found.append((key, instead or value.decode("utf-8", "replace")))
        return found

    def set(self, name: bytes, value: bytes) -> None:
        """One line of that name, this one."""
        self.remove(frozenset({name}))
        self.add(name, value)


NO_EDITS = Edits()  # for heads that leave as they came; nobody changes it
