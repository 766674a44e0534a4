"""Why there is no endpoint for a request: the error that tells its client."""

from __future__ import annotations

from math import ceil

from proxy.errors import BreakerOpen, NoEndpoint
from proxy.server.snapshot import Target
from proxy.upstream.endpoint import BROKEN


def nobody(target: Target, now: int) -> NoEndpoint:
    """At `now` (ns, monotonic), after the balancer has found none."""
    state, name = target.state, target.name
    broken = [e for e in state.endpoints.values() if e.out == BROKEN]
    if not broken or state.breakers is None:
        return NoEndpoint(f"upstream {name} has no endpoint")
    wait = max(1, ceil(state.breakers.wait(now)))
    words = f"upstream {name}: breakers are open to {len(broken)} of {len(state.endpoints)}"
    return BreakerOpen(f"{words} endpoints", wait)
