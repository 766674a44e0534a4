"""Why there is no endpoint for a request: the error that tells its client."""

from __future__ import annotations

from math import ceil

from proxy.errors import BreakerOpen, LeadsNowhere, NoEndpoint
from proxy.server.snapshot import Target
from proxy.upstream.endpoint import BROKEN


def nobody(target: Target, now: int) -> NoEndpoint:
    """At `now` (ns, monotonic), after the balancer has found none."""
    state, name = target.state, target.name
    broken = any(endpoint.out == BROKEN for endpoint in state.endpoints.values())
    if not broken or state.breakers is None:
        if state.settings.empty_status == 500 and not state.endpoints:
            return LeadsNowhere(f"upstream {name} is none")
        return NoEndpoint(f"upstream {name} has no endpoint")
    wait = max(1, ceil(state.breakers.wait(now)))
    return BreakerOpen(f"upstream {name}: a breaker is open to all endpoints that are up", wait)
