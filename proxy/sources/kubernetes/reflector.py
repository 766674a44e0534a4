"""One collection of an API server, kept as it is there: listed in pages, then watched.

https://kubernetes.io/docs/reference/using-api/api-concepts/ "Efficient detection of changes".
A version is a text that is given back and nothing else. When the history that would be needed is
gone (410), all is listed again, and what is not in that list any more has been deleted.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any, Protocol
from urllib.parse import urlencode

import msgspec

from proxy.sources.asking import ANSWER, Lines, Trouble, pause
from proxy.sources.kubernetes.api import Absent, Api, Forbidden, Gone, Later, reason
from proxy.sources.kubernetes.kinds import Key, Kind, key_of, path_of, read
from proxy.tasks import gently

log = logging.getLogger("spangate")

PAGE = 500  # objects of one answer
WATCH = 300  # seconds after which the server ends a watch
SPREAD = 60  # of these by chance, so that not all begin anew at once
SOONEST = 1.0  # seconds between the beginnings of two watches
LONG = 60.0  # seconds after which a failure has nothing to do with the one before
ENDS = 3  # watches in a row that end as soon as they begin before it is told
LOOK_AGAIN = 30.0  # seconds between two looks for a collection that the cluster does not know


class Keeps(Protocol):
    """Who keeps what is read."""

    def put(self, kind: str, key: Key, found: Any) -> None: ...
    def drop(self, kind: str, key: Key) -> None: ...
    def keys(self, kind: str, namespace: str, name: str) -> set[Key]:
        """Those that there are, "" = of any namespace or name."""
        ...

    def listed(self, about: str) -> None:
        """All of one collection is known now."""
        ...

    def unknown(self, about: str, why: str) -> None:
        """The cluster has no such collection, and ought to."""
        ...

    def heard(self, about: str) -> None: ...
    def forbidden(self, about: str, why: str, may_miss: bool) -> None: ...
    def failed(self, about: str, why: str) -> None: ...


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    go_on: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _VersionMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Versioned(msgspec.Struct):
    """Of any object, and of a bookmark, which has nothing else; or of a failure."""

    metadata: _VersionMeta = msgspec.field(default_factory=_VersionMeta)
    code: int = 0


_page = msgspec.json.Decoder(_Page)
_event = msgspec.json.Decoder(_Event)
_versioned = msgspec.json.Decoder(_Versioned)


class Reflector:
    """Of one kind, in one namespace or in all, perhaps of one name alone."""

    def __init__(
        self, api: Api, kind: Kind, keeps: Keeps, namespace: str = "", name: str = ""
    ) -> None:
        self._api = api
        self._kind = kind
        self._keeps = keeps
        self._namespace = namespace
        self._name = name
        self._tried = 0  # of the versions that the kind has
        self._version = ""  # "" = all is to be listed
        self._ended = 0  # watches in a row that were ended at once
        where = f" in namespace {namespace}" if namespace else ""
        self.about = f"{kind.plural}{f' {name}' if name else ''}{where}"

    @property
    def version(self) -> str:
        """Of the collection, as it was last heard of."""
        return self._version

    async def run(self) -> None:
        """Go on until cancelled; what goes wrong is told."""
        failures = 0
        while True:
            began = time.monotonic()
            wait = 0.0
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                failures = 0
                wait = max(0.0, SOONEST - (time.monotonic() - began))
            except Gone:
                self._version = ""
                failures += 1
                wait = 0.0 if failures == 1 else pause(failures, random.random())
            except Absent:
                wait = self._absent()
            except Forbidden as trouble:
                failures += 1
                self._keeps.forbidden(self.about, str(trouble), self._kind.may_miss)
                wait = pause(failures, random.random())
            except Trouble as trouble:
                failures = 1 if time.monotonic() - began > LONG else failures + 1
                self._keeps.failed(self.about, str(trouble))
                wait = pause(failures, random.random())
                if isinstance(trouble, Later):
                    wait = max(wait, trouble.seconds * (1 + 0.2 * random.random()))
            except Exception as error:  # a fault of ours must not be the end
                failures += 1
                log.exception("watching %s failed", self.about, extra={"key": "kubernetes.bug"})
                self._keeps.failed(self.about, f"it failed here ({type(error).__name__})")
                wait = pause(failures, random.random())
            await asyncio.sleep(wait)

    def _absent(self) -> float:
        """The seconds until it is asked again."""
        self._version = ""
        self._tried += 1
        if self._tried % len(self._kind.versions):
            return 0.0
        for key in self._keeps.keys(self._kind.name, self._namespace, self._name):
            self._keeps.drop(self._kind.name, key)
        if self._kind.optional:
            self._keeps.listed(self.about)
        else:
            self._keeps.unknown(self.about, f"the cluster does not know {self._kind.plural} (404)")
        return LOOK_AGAIN * (1 + 0.2 * random.random())

    def _path(self, **query: str) -> str:
        version = self._kind.versions[self._tried % len(self._kind.versions)]
        if self._name:
            query["fieldSelector"] = f"metadata.name={self._name}"
        return f"{path_of(self._kind, version, self._namespace)}?{urlencode(query)}"

    async def _list(self) -> None:
        gone = self._keeps.keys(self._kind.name, self._namespace, self._name)
        go_on = ""
        while True:
            query = {"limit": str(PAGE), **({"continue": go_on} if go_on else {})}
            page = _parsed(_page, await self._api.get(self._path(**query)))
            async for raw in gently(page.items or ()):
                if (key := self._put(raw)) is not None:
                    gone.discard(key)
            go_on = page.metadata.go_on
            if not go_on:
                break
        for key in gone:
            self._keeps.drop(self._kind.name, key)
        self._version = page.metadata.resource_version
        self._keeps.listed(self.about)

    async def _watch(self) -> None:
        seconds = WATCH + int(SPREAD * random.random())
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        async with self._api.ask("GET", self._path(**query), seconds=None) as response:
            lines = Lines(response)
            quiet, wait = 0.0, SOONEST
            while (found := await lines.next(wait)) is not None:
                if found or wait == SOONEST:  # one that stays open is an answer
                    self._keeps.heard(self.about)
                self._ended, wait = 0, ANSWER
                quiet = 0.0 if found else quiet + ANSWER
                if quiet > seconds + ANSWER:
                    raise Trouble(f"{self._api.url} has gone silent")
                async for line in gently(found):
                    self._event(line)
        self._ended += wait == SOONEST
        if self._ended >= ENDS:
            raise Trouble(f"{self._api.url} ends watches of {self._kind.plural} at once")

    def _event(self, line: bytes) -> None:
        event = _parsed(_event, line)
        if event.type == "ERROR":
            status = _parsed(_versioned, event.object)
            if status.code == 410:
                raise Gone(self.about)
            raise Trouble(f"watching {self.about} ended: {reason(bytes(event.object))}")
        if event.type in ("ADDED", "MODIFIED"):
            self._put(event.object)
        elif event.type == "DELETED":
            found = read(self._kind, event.object)
            if found is not None:
                self._keeps.drop(self._kind.name, key_of(found))
        version = _parsed(_versioned, event.object).metadata.resource_version
        self._version = version or self._version

    def _put(self, raw: msgspec.Raw) -> Key | None:
        found = read(self._kind, raw)
        if found is None:
            return None
        key = key_of(found)
        self._keeps.put(self._kind.name, key, found)
        return key


def _parsed(decoder: msgspec.json.Decoder[Any], data: bytes | msgspec.Raw) -> Any:
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise Trouble(f"the server does not speak as an API server does: {error}") from None
