"""A cluster as a source: what reflectors keep is translated, given, and told back in statuses.

Endpoints do not come this way: a change of an EndpointSlice goes to the roster at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from proxy.config.source_model import KubernetesSource
from proxy.pauses import doubled
from proxy.sources.kubernetes.api import Api
from proxy.sources.kubernetes.backends import Port
from proxy.sources.kubernetes.endpoints import servers
from proxy.sources.kubernetes.kinds import BY_NAME, KINDS, Key
from proxy.sources.kubernetes.outcome import Outcome
from proxy.sources.kubernetes.reflector import Reflector
from proxy.sources.kubernetes.store import Store, snapshot
from proxy.sources.kubernetes.translate import translate
from proxy.sources.kubernetes.vault import Vault
from proxy.sources.kubernetes.world import Terms, World
from proxy.sources.kubernetes.writer import Writer
from proxy.sources.source import About, Given, Hears
from proxy.sources.troubles import Troubles
from proxy.tasks import cancel, gently, spawn

QUIET = 0.05  # seconds that a change waits for those that come with it
PATIENCE = 2.0  # seconds that secrets are waited for that are new
STATUS_AGAIN = 30.0  # seconds until statuses are tried again that could not be written
RETRY = 10.0  # seconds until listeners are tried again that were refused, doubled each time
RETRY_LONGEST = 300.0  # likewise, the most


def make(settings: KubernetesSource, about: About) -> Kubernetes:
    """See making."""
    return Kubernetes(settings, about)


def terms_of(settings: KubernetesSource) -> Terms:
    return Terms(
        settings.controller,
        settings.gateway_class,
        settings.ingress_class,
        tuple(settings.gateways),
        {int(port): bound for port, bound in settings.ports.items()},
        tuple(settings.addresses),
    )


class Kubernetes:
    """One cluster."""

    def __init__(self, settings: KubernetesSource, about: About) -> None:
        self._settings = settings
        self._api = Api(settings, about)
        self._terms = terms_of(settings)
        self._vault = Vault()
        self._store: Store
        self._writer: Writer
        self._hears: Hears
        self._reflectors: dict[tuple[str, str, str], tuple[Reflector, asyncio.Task[None]]] = {}
        self._made: Outcome | None = None  # given last
        # those that are not settled, by version: the count of changes, and what they leave out
        self._under_way: dict[str, tuple[int, Mapping[str, str]]] = {}
        self._in_force: tuple[Outcome, str] | None = None  # with why it was refused, "" = it is not
        self._ports: Mapping[str, Port] = {}  # by upstream: whose servers are told
        self._by_service: dict[Key, list[str]] = {}  # upstreams
        self._told: dict[str, dict[str, int]] = {}  # servers by upstream
        self._version = 0
        self._to_write = asyncio.Event()
        self._again: asyncio.TimerHandle | None = None  # when refused listeners are tried again
        self._retries = 0
        self._troubles: Troubles

    async def watch(self, hears: Hears) -> None:
        """See Source."""
        self._hears, self._troubles = hears, Troubles(hears)
        self._store = Store(self._endpoints)
        self._writer = Writer(self._api, self._store, self._terms)
        self._to_write = asyncio.Event()
        tasks = [spawn(self._write(), "kubernetes statuses")] if self._settings.status else []
        try:
            for kind in KINDS:
                if kind not in BY_NAME:
                    self._begin_all(kind)
            while True:
                await self._turn()
        finally:
            if self._again is not None:
                self._again.cancel()
                self._again = None
            self._troubles.stop()
            await cancel(*tasks, *(task for _, task in self._reflectors.values()))
            self._reflectors.clear()
            await self._api.close()

    def settled(self, given: Given, reasons: Sequence[str]) -> bool:
        """See Source."""
        made = self._made
        is_to_blame = self._blame(given, reasons)
        if is_to_blame:
            self._store.change()
            self._try_again_later()
        if made is None or given is not made.given:
            return False  # another one has been given since, which may say it better
        if is_to_blame:
            return True
        if not (reasons or self._store.has_blocked_listeners()):
            self._retries = 0
        self._in_force = (made, "; ".join(reasons)[:1000])
        self._to_write.set()
        return False

    # what reflectors tell

    def put(self, kind: str, key: Key, found: Any) -> None:
        self._store.put(kind, key, found)

    def drop(self, kind: str, key: Key) -> None:
        self._store.drop(kind, key)

    def keys(self, kind: str, namespace: str, name: str) -> set[Key]:
        return self._store.keys(kind, namespace, name)

    def listed(self, about: str) -> None:
        self._store.listed(about)
        self.heard(about)

    def unknown(self, about: str, why: str) -> None:
        """There is nothing of it, and there ought to be."""
        self._store.listed(about)
        self.failed(about, why)

    def heard(self, about: str) -> None:
        self._store.found(about)
        self._troubles.heard(about)

    def forbidden(self, about: str, why: str, may_miss: bool) -> None:
        if may_miss:
            self._store.miss(about, why)
            self._troubles.heard(about)
        else:
            self.failed(about, why)

    def failed(self, about: str, why: str) -> None:
        self._troubles.failed(about, why)

    # turns

    async def _turn(self) -> None:
        store = self._store
        await store.news.wait()
        await asyncio.sleep(QUIET)
        store.news.clear()
        if store.is_restated:
            store.is_restated = False
            self._to_write.set()
        if store.unlisted or not store.is_changed:
            return
        store.is_changed = False
        self._version += 1
        world = World(snapshot(store.objects), dict(store.blocked), time.time())
        version = str(self._version)
        count = store.count
        made = await asyncio.to_thread(translate, world, self._terms, self._vault, version)
        made.count = count
        self._vault.forget()
        if self._follow(made):
            await self._wait_for_secrets()
            store.change()
            return
        await self._give(made)

    async def _give(self, made: Outcome) -> None:
        by_service: dict[Key, list[str]] = {}
        for name, port in made.ports.items():
            by_service.setdefault(port.service, []).append(name)
        self._ports, self._by_service = made.ports, by_service
        for name in self._told.keys() - made.ports.keys():
            del self._told[name]
        async for service in gently(list(by_service)):
            self._endpoints(service)
        left_out = [*made.given.left_out, *self._store.missed.values()]
        left_out += self._writer.faults.values()
        versions = {
            kind: one.version for (kind, _, name), (one, _) in self._reflectors.items() if not name
        }
        made.given = msgspec.structs.replace(
            made.given, left_out=left_out, versions={k: v for k, v in versions.items() if v}
        )
        self._made = made
        self._under_way[made.given.version] = made.count, made.world.blocked
        self._hears.given(made.given)

    def _endpoints(self, service: Key) -> None:
        """Tell the servers of a service, if they are others."""
        slices = list(self._store.slices.get(service, {}).values())
        for name in self._by_service.get(service, ()):
            port = self._ports[name]
            found = servers(slices, port.name, port.scheme)
            if self._told.get(name) != found:
                self._told[name] = found
                self._hears.servers(name, found)

    def _blame(self, given: Given, reasons: Sequence[str]) -> bool:
        """Whether objects are to blame that are left out from now on, if they were not before,
        or are others by now."""
        versions = list(self._under_way)
        if given.version not in self._under_way:
            return False
        for version in versions[: versions.index(given.version)]:
            del self._under_way[version]  # passed over, since a newer one had come
        count, blocked = self._under_way[given.version]
        self._store.forget(count)
        places = set(given.places.values()) if reasons else ()
        found = False
        for reason in reasons:
            place = reason.partition(":")[0]  # there is none in the names of objects
            if place in places and place not in blocked:
                self._store.block(place, reason.removeprefix(f"{place}: "), count)
                found = True
        return found

    def _try_again_later(self) -> None:
        """A port that was taken may be free by then, and nobody says so."""
        if self._again is None and self._store.has_blocked_listeners():
            pause = doubled(RETRY, self._retries, RETRY_LONGEST)
            self._again = asyncio.get_running_loop().call_later(pause, self._try_again)
            self._retries += 1

    def _try_again(self) -> None:
        self._again = None
        if self._store.has_blocked_listeners():
            self._store.unblock_listeners()
            self._store.change()

    # what is watched

    def _begin_all(self, kind: str) -> None:
        namespaces = self._settings.namespaces if KINDS[kind].namespaced else []
        for namespace in namespaces or [""]:
            self._begin(kind, namespace, "")

    def _begin(self, kind: str, namespace: str, name: str) -> None:
        one = Reflector(self._api, KINDS[kind], self, namespace, name)
        self._store.unlisted.add(one.about)
        task = spawn(one.run(), f"kubernetes {one.about}")
        self._reflectors[kind, namespace, name] = one, task

    def _follow(self, made: Outcome) -> bool:
        """Read the secrets that are referred to, and no others; whether there are new ones."""
        wanted = {("Secret", *key) for key in made.secrets}
        wanted |= {("ConfigMap", *key) for key in made.config_maps}
        known = {key for key in self._reflectors if key[0] in BY_NAME}
        for key in known - wanted:
            one, task = self._reflectors.pop(key)
            task.cancel()
            self._store.unlisted.discard(one.about)
            self._store.missed.pop(one.about, None)
            self._troubles.heard(one.about)
            self._store.objects.get(key[0], {}).pop(key[1:], None)
        for kind, namespace, name in wanted - known:
            self._begin(kind, namespace, name)
        return bool(wanted - known)

    async def _wait_for_secrets(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while self._store.unlisted:
                    self._store.news.clear()
                    await self._store.news.wait()
        except TimeoutError:
            self._store.unlisted.clear()

    # statuses

    async def _write(self) -> None:
        while True:
            try:
                behind = self._writer.faults or self._writer.is_behind
                async with asyncio.timeout(STATUS_AGAIN if behind else None):
                    await self._to_write.wait()
            except TimeoutError:
                pass
            self._to_write.clear()
            if self._in_force is None:
                continue
            before = dict(self._writer.faults)
            await self._writer.write(*self._in_force)
            if self._writer.faults != before:
                self._store.change()  # it is told among what is left out
            await asyncio.sleep(QUIET)
