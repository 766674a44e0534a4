"""The objects of a cluster as reflectors keep them, and whom a change concerns.

Three things may follow of one: what it is given as must be made anew, statuses must be compared
anew, or the servers of some service are others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from proxy.sources.kubernetes.core_objects import EndpointSlice
from proxy.sources.kubernetes.kinds import Key, place

SLICES = "EndpointSlice"
LISTENER = "kubernetes listener "  # how places of listeners begin
SERVICES = "kubernetes Service "  # and of services
# What is made of an object besides what stands at its own place.
MADE_OF = {
    "Gateway": (LISTENER,),
    "Secret": (LISTENER,),
    "BackendTLSPolicy": (SERVICES,),
    "ConfigMap": (SERVICES,),
}
SERVICE = "kubernetes.io/service-name"  # the label of a slice


class Store:
    """All that is known."""

    def __init__(self, changed: Callable[[Key], None]) -> None:
        """`changed` is told of services whose endpoints are others."""
        self.objects: dict[str, dict[Key, Any]] = {}
        self.blocked: dict[str, str] = {}  # by place: why the gateway refused what was made of it
        self.count = 0  # of changes that tables are made of
        self._changed_at: dict[str, int] = {}  # by place, the counts of those since `forget`
        self.slices: dict[Key, dict[Key, EndpointSlice]] = {}  # by service
        self.news = asyncio.Event()
        self.is_changed = False  # something that tables are made of
        self.is_restated = False  # a status
        self.unlisted: set[str] = set()  # collections that nothing is known of
        self.missed: dict[str, str] = {}  # those that cannot be read, and why
        self._changed = changed

    def put(self, kind: str, key: Key, found: Any) -> None:
        known = self.objects.setdefault(kind, {})
        before = known.get(key)
        if kind == SLICES:
            self._slice(key, before, found)
        elif before is None or _matter(before) != _matter(found):
            self._unblock(kind, key)
            self.change()
        else:
            self.is_restated = True
            self.news.set()
        known[key] = found

    def renew(self, kind: str, key: Key, before: Any, found: Any) -> None:
        """One that was read by itself; what a watch has told since `before` may be newer."""
        known = self.objects.get(kind, {})
        if known.get(key) is not before:
            return
        if _matter(before) == _matter(found):
            known[key] = found
        else:
            self.put(kind, key, found)

    def drop(self, kind: str, key: Key) -> None:
        before = self.objects.get(kind, {}).pop(key, None)
        if before is None:
            return
        if kind == SLICES:
            self._slice(key, before, None)
        else:
            self._unblock(kind, key)
            self.change()

    def keys(self, kind: str, namespace: str, name: str) -> set[Key]:
        return {
            key
            for key in self.objects.get(kind, {})
            if namespace in ("", key[0]) and name in ("", key[1])
        }

    def change(self) -> None:
        self.is_changed = True
        self.news.set()

    def listed(self, about: str) -> None:
        if about in self.unlisted or about in self.missed:
            self.unlisted.discard(about)
            self.missed.pop(about, None)
            self.change()

    def found(self, about: str) -> None:
        """It can be read, or be watched again."""
        if self.missed.pop(about, None) is not None:
            self.change()

    def miss(self, about: str, why: str) -> None:
        """It cannot be read, and is not waited for."""
        if self.missed.get(about) != why:
            self.missed[about] = why
            self.unlisted.discard(about)
            self.change()

    def block(self, place: str, why: str, count: int) -> None:
        """What was made of it when there had been so many changes is refused. One that has changed
        since is another one, and may be good."""
        if max(self._changed_at.get(one, 0) for one in _places(place)) <= count:
            self.blocked[place] = why

    def forget(self, count: int) -> None:
        """Nothing is refused any more that was made before there had been so many changes."""
        self._changed_at = {place: at for place, at in self._changed_at.items() if at > count}

    def has_blocked_listeners(self) -> bool:
        return any(where.startswith(LISTENER) for where in self.blocked)

    def unblock_listeners(self) -> None:
        self._unblock_all(LISTENER)

    def _slice(self, key: Key, before: Any, found: Any) -> None:
        for one in (before, found):
            service = _service_of(one, key)
            if service is None:
                continue
            known = self.slices.setdefault(service, {})
            if one is found:
                known[key] = found
            else:
                known.pop(key, None)
        if before is None or found is None or _endpoints(before) != _endpoints(found):
            for service in {_service_of(one, key) for one in (before, found)} - {None}:
                assert service is not None
                self._changed(service)
                if not self.slices.get(service):
                    self.slices.pop(service, None)

    def _unblock(self, kind: str, key: Key) -> None:
        self.count += 1
        where = place(kind, key)
        self.blocked.pop(where, None)
        self._changed_at[where] = self.count
        for beginning in MADE_OF.get(kind, ()):
            self._unblock_all(beginning)
            self._changed_at[beginning] = self.count

    def _unblock_all(self, beginning: str) -> None:
        for where in [one for one in self.blocked if one.startswith(beginning)]:
            del self.blocked[where]


def _places(place: str) -> list[str]:
    """Itself, and how it begins if it is made of several objects."""
    return [place, *(one for one in (LISTENER, SERVICES) if place.startswith(one))]


def _matter(found: Any) -> tuple[Any, ...]:
    """What tables are made of."""
    meta = found.metadata
    labels = getattr(meta, "labels", None), getattr(meta, "annotations", None)
    rest = tuple(
        getattr(found, name)
        for name in found.__struct_fields__
        if name not in ("metadata", "status")
    )
    return (meta.generation, meta.creation_timestamp, labels, rest)


def _service_of(found: Any, key: Key) -> Key | None:
    labels = getattr(found.metadata, "labels", None) if found is not None else None
    name = labels.get(SERVICE) if labels else None
    return (key[0], name) if name else None


def _endpoints(found: Any) -> tuple[Any, ...]:
    if not isinstance(found, EndpointSlice):
        return (found,)
    return (found.address_type, found.endpoints, found.ports, found.metadata.labels)


def snapshot(objects: dict[str, dict[Key, Any]]) -> dict[str, dict[Key, Any]]:
    """As it may be read in a thread."""
    return {kind: dict(known) for kind, known in objects.items() if kind != SLICES}
