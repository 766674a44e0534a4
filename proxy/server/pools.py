"""The pools of one worker, which kind an endpoint has, and by what settings it lends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from proxy.config.model import Upstream
from proxy.kernel.clock import monotonic_ns
from proxy.server.descriptors import Descriptors
from proxy.server.dial import Dialling, Manner, dial_shared
from proxy.server.h2_pool import Dial, SharedPool, Waiting
from proxy.server.house import House
from proxy.server.pool import Pool
from proxy.server.preface import preface
from proxy.server.sides import StoryEvents
from proxy.server.tcp_upstream import StreamPool
from proxy.server.tls_keyring import ClientContext
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import UpstreamState


class Pools:
    """All that one worker has; `by_key`: by Endpoint.key."""

    __slots__ = ("_contexts", "_descriptors", "_dial", "_house", "by_key")

    def __init__(self, house: House, descriptors: Descriptors) -> None:
        self._house = house
        self._descriptors = descriptors
        self._dial = partial(dial_shared, descriptors=descriptors)
        self._contexts: Mapping[str, ClientContext] = {}  # by upstream
        self.by_key: dict[str, Any] = {}

    def open(self, endpoint: Endpoint) -> Pool:
        """One more."""
        state = self._house.upstreams.get(endpoint.upstream)
        settings = state.settings if state is not None else Upstream()
        pool = self.by_key[endpoint.key] = open_pool(endpoint, settings, self._house, self._dial)
        self._set_up(pool)
        return pool

    def dial(
        self, story: StoryEvents, endpoint: Endpoint, timeout: float, old: bool, handshake: float
    ) -> Dialling | Waiting:
        """See `House.dial`."""
        pool: Any = self._house.pool_of(endpoint)
        if isinstance(pool, SharedPool) and not old:
            return pool.want(story, timeout, handshake)
        header = preface(pool.send_proxy, story) if pool.send_proxy else b""
        return Dialling(story, pool, timeout, self._descriptors, Manner(header, old, handshake))

    def adopt(self, contexts: Mapping[str, ClientContext]) -> None:
        """Go by the settings of the upstreams as they are now."""
        self._contexts = contexts
        for key, pool in list(self.by_key.items()):
            if not self._set_up(pool):
                self.by_key.pop(key).close()  # it is of another kind now

    def close_of(self, gone: list[Endpoint]) -> Iterator[None]:
        """Nobody is sent to these endpoints any more; done in steps, as there may be many."""
        for endpoint in gone:
            pool = self.by_key.pop(endpoint.key, None)
            if pool is not None:
                pool.close()
            yield

    def expire(self, now: int) -> None:
        """Close what has been idle or open for too long, at `now` (ns, monotonic)."""
        for pool in self.by_key.values():
            pool.expire(now)

    def drop(self) -> None:
        """Give one idle connection up, so that its descriptor is free."""
        any(pool.drop() for pool in self.by_key.values())

    def known(self) -> Iterator[tuple[str, Pool]]:
        """Each with its upstream's name."""
        for key, pool in list(self.by_key.items()):  # few, where tens of thousands could be
            state = self._house.upstreams.get(pool.upstream)
            if state is not None and key.removeprefix(f"{pool.upstream} ") in state.endpoints:
                yield pool.upstream, pool

    def close(self) -> None:
        """All of them."""
        for pool in self.by_key.values():
            pool.close()

    def _set_up(self, pool: Pool) -> bool:
        """By the upstream that it was made for; False if that wants another kind now."""
        state = self._house.upstreams.get(pool.upstream)
        return state is None or set_up(pool, state, self._contexts.get(pool.upstream))


def open_pool(endpoint: Endpoint, settings: Upstream, house: House, dial: Dial) -> Pool:
    """A pool for what is spoken there; `dial` as SharedPool wants it."""
    if house.snapshot.passes_bytes(endpoint):
        return StreamPool(endpoint, house.outbox, house.turns, house.recorder.registry)
    if may_share(endpoint.scheme, settings):
        return SharedPool(endpoint, house, dial, settings.protocol == "h2")
    return Pool(endpoint, house.outbox, house.turns, house.recorder.registry)


def set_up(pool: Pool, state: UpstreamState, tls: ClientContext | None) -> bool:
    """Go by its settings from now on; False if they are for a pool of another kind."""
    settings = state.settings
    if not suits(pool, settings):
        return False
    limits = settings.pool
    pool.idle_ns = int(limits.idle_timeout * 1e9)
    pool.idle_limit = limits.idle if pool.idle_ns else 0
    pool.set_max_age(int(limits.max_age * 1e9), monotonic_ns())
    pool.tell_of_clients(settings.send_proxy)
    pool.secure(tls)
    pool.bound(state.bounds)
    return True


def may_share(scheme: str, settings: Upstream) -> bool:
    """Whether one connection may carry the exchanges of many clients. One that begins with a PROXY
    header belongs to the client that it names."""
    if settings.send_proxy != "off":
        return False
    by_alpn = settings.protocol == "auto" and scheme == "https"
    return settings.protocol == "h2" or by_alpn


def suits(pool: Pool, settings: Upstream) -> bool:
    """Whether a pool that was made by other settings would be made by these."""
    if isinstance(pool, SharedPool):
        return may_share(pool.scheme, settings) and pool.must == (settings.protocol == "h2")
    return not may_share(pool.scheme, settings)
