"""Which kind of pool an upstream's endpoints have, and by what settings it lends."""

from __future__ import annotations

from proxy.config.model import Upstream
from proxy.kernel.clock import monotonic_ns
from proxy.server.h2_pool import Dial, SharedPool
from proxy.server.house import House
from proxy.server.pool import Pool
from proxy.server.tcp_upstream import StreamPool
from proxy.server.tls_keyring import ClientContext
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import UpstreamState


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
