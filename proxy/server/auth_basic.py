"""Basic authentication in a worker: passwords are hashed in a thread, one after the other.

One hash at a time for all checks of a worker: each takes memory and a processor for a while, of
which requests that are in already shall notice little. Whose turn it is `access/turns.py` says.
Requests of one client with the same password share one hash, as a browser's first six do.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import get_native_id
from time import time
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from proxy.access.basic import Remembered, Users, is_basic, shown, verify
from proxy.access.check import ABSENT, Asked, Identity, Pending, Refusal, Verdict
from proxy.access.made import Made
from proxy.access.turns import FULL_HERE, TAKEN, Turns, whose
from proxy.config.access_model import Basic

USER = "enduser.id"  # as for API keys
OF_ONE, OF_ALL = 4, 64  # hashes that wait: for one client, 0.1 s; for all, 2 s
_WRONG = 10.0  # seconds for which a wrong password is not hashed again
_AUTHORIZATION = b"authorization"
_LATER = ((b"retry-after", b"1"),)
_BUSY = Refusal(429, "per_client", lines=_LATER)
_UNAVAILABLE = Refusal(503, "unavailable", lines=_LATER)

Key = tuple[str, bytes]  # for whom, and the mark of name and password

_decode = msgspec.msgpack.Decoder(dict[str, str]).decode


def make(name: str, said: Basic, made: Made) -> Passwords:
    hashes = _decode(made.material.credentials[said.file])
    return Passwords(name, said, Users(hashes, made.secret))


class Passwords:
    """The users of one file."""

    hidden_cookies: frozenset[str] = frozenset()
    hidden_queries: frozenset[str] = frozenset()

    __slots__ = (
        "_absent", "_header", "_known", "_malformed", "_under_way", "_users", "_wrong", "kind",
        "name", "strips",
    )  # fmt: skip

    def __init__(self, name: str, said: Basic, users: Users) -> None:
        self.name = name
        self.kind = "basic"
        self._users = users
        self._known = Remembered(said.cache, min(said.cache, _WRONG))
        self._under_way: dict[tuple[str, bytes], Hashing] = {}
        self._header = said.header.lower().encode("ascii")
        strips = {self._header} if self._header else set()
        self.strips = frozenset(strips if said.keep else strips | {_AUTHORIZATION})
        realm = said.realm.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace")
        challenge = b'Basic realm="%s", charset="UTF-8"' % realm
        self._absent = Refusal(401, ABSENT, challenge)
        self._malformed = Refusal(401, "malformed", challenge)
        self._wrong = Refusal(401, "password", challenge)

    def decide(self, asked: Asked) -> Verdict:
        field = asked.head.get(_AUTHORIZATION)
        if field is None or not is_basic(field):
            return self._absent
        both = shown(field)
        if both is None:
            return self._malformed
        mark = self._users.mark(*both)
        identity = self._known.right(mark, asked.now)
        if identity is not None:
            return identity
        if self._known.is_wrong(mark, asked.now):
            return self._wrong
        return Waiting(self, (whose(asked.client), mark), name=both[0], password=both[1])

    def join(self, key: Key, name: str, password: bytes) -> Hashing | Refusal:
        """What finds out whether that is the password: under way already, or begun now."""
        hashing = self._under_way.get(key)
        if hashing is None:
            hashed, is_own = self._users.hash_for(name)

            def found(fits: bool | None) -> Identity | Refusal:
                self._under_way.pop(key, None)
                return self._found(key[1], name, None if fits is None else fits and is_own)

            hashing = Hashing(key[0], hashed, password, found)
            taken = room().add(hashing)
            if taken != TAKEN:
                return _BUSY if taken == FULL_HERE else _UNAVAILABLE
            self._under_way[key] = hashing
        return hashing

    def leave(self, key: Key, hashing: Hashing) -> None:
        """Nobody waits for it: it is not begun, if it is not yet."""
        if room().drop(hashing):
            self._under_way.pop(key, None)

    def _found(self, mark: bytes, name: str, fits: bool | None) -> Identity | Refusal:
        if fits is None:
            return _UNAVAILABLE
        if not fits:
            self._known.note_wrong(mark, time())
            return self._wrong
        identity = Identity(self.name, name)
        identity.attributes = [(USER, name)]
        if self._header:
            identity.headers = [(self._header, name.encode("utf-8"))]
        self._known.note_right(mark, identity, time())
        return identity


class Hashing:
    """A password that is held against a hash, and who waits for what comes of it."""

    __slots__ = ("_found", "address", "hashed", "outcome", "password", "waiting")

    def __init__(
        self,
        address: str,
        hashed: str,
        password: bytes,
        found: Callable[[bool | None], Identity | Refusal],
    ) -> None:
        self.address = address
        self.hashed = hashed
        self.password = password
        self._found = found
        self.outcome: Identity | Refusal | None = None
        self.waiting: list[Callable[[Identity | Refusal], None]] = []

    def over(self, fits: bool | None) -> None:
        """`fits`: None = that could not be found out."""
        self.outcome = self._found(fits)
        self.password = b""
        waiting, self.waiting = self.waiting, []
        for tell in waiting:
            tell(self.outcome)


class Waiting(Pending):
    """One request that waits for a hashing."""

    __slots__ = ("_check", "_hashing", "_key", "_name", "_password", "_tell")

    def __init__(self, check: Passwords, key: Key, name: str, password: bytes) -> None:
        self._check = check
        self._key = key
        self._name = name
        self._password = password
        self._hashing: Hashing | None = None
        self._tell: Any = None

    def begin(self, story: Any, done: Any) -> None:
        found = self._check.join(self._key, self._name, self._password)
        if isinstance(found, Refusal):
            done(found)
            return
        self._hashing, self._tell = found, done
        found.waiting.append(done)

    def stop(self) -> None:
        hashing, self._hashing = self._hashing, None
        if hashing is None or hashing.outcome is not None:
            return
        hashing.waiting.remove(self._tell)
        if not hashing.waiting:
            self._check.leave(self._key, hashing)


class Room:
    """Where the hashings of one worker wait, and the thread that makes them one by one."""

    __slots__ = ("_busy", "_loop", "_thread", "_turns", "verify")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turns: Turns[Hashing] = Turns(OF_ONE, OF_ALL)
        self._thread: ThreadPoolExecutor | None = None
        self._busy = False
        self.verify = verify

    @property
    def waiting(self) -> int:
        """Hashings that have not begun."""
        return self._turns.waiting

    def add(self, hashing: Hashing) -> int:
        taken = self._turns.add(hashing.address, hashing)
        if taken == TAKEN and not self._busy:
            self._next()
        return taken

    def drop(self, hashing: Hashing) -> bool:
        """Whether it was not begun yet."""
        return self._turns.drop(hashing.address, hashing)

    def _next(self) -> None:
        hashing = self._turns.next()
        self._busy = hashing is not None
        if hashing is None:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "passwords", _politely)
        self._thread.submit(self._work, hashing)

    def _work(self, hashing: Hashing) -> None:
        """In the thread."""
        fits: bool | None = None
        try:
            fits = self.verify(hashing.hashed, hashing.password)
        finally:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._over, hashing, fits)

    def _over(self, hashing: Hashing, fits: bool | None) -> None:
        try:
            hashing.over(fits)
        finally:
            self._next()


def _politely() -> None:
    """Whoever is in already comes first: on Linux a thread has a priority of its own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)


_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, Room] = WeakKeyDictionary()


def room() -> Room:
    """That of this worker, which is that of its loop."""
    loop = asyncio.get_running_loop()
    found = _rooms.get(loop)
    if found is None:
        found = _rooms[loop] = Room(loop)
    return found
