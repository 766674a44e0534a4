"""Why there is no endpoint for a request: the error that tells its client."""

from __future__ import annotations

from math import ceil

from proxy.errors import BreakerOpen, NoEndpoint
from proxy.server.snapshot import Target
from proxy.upstream.endpoint import BROKEN


def nobody(target: Target, now: int) -> NoEndpoint:
    """At `now` (ns, monotonic), after the balancer has found none."""
    state, name = target.state, target.name
    broken = any(endpoint.out == BROKEN for endpoint in state.endpoints.values())
    if not broken or state.breakers is None:
        return NoEndpoint(f"upstream {name} has no endpoint")
    wait = max(1, ceil(state.breakers.wait(now)))
    return BreakerOpen(f"upstream {name}: a breaker is open to all endpoints that are up", wait)
