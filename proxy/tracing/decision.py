"""The start of a request's trace: what the server calls, once per request."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.kernel.hexes import trace_id as new_trace_id
from proxy.tracing.context import TraceContext
from proxy.tracing.ids import GetRandBits
from proxy.tracing.propagate import Extractor
from proxy.tracing.sampling import Sampler
from proxy.tracing.trust import Untrusted, judge

# (trace id, context to pass on, link, sampled, random flag). The context is the trusted caller's,
# and the parent only if it has a `span_id`: a bare B3 decision ("b3: d") and the threshold of a
# trace that starts here (`Sampler.carry`) have none. A tuple, because a NamedTuple costs 0.2 µs.
Decision = tuple[bytes, TraceContext | None, TraceContext | None, bool, bool]


def start(
    fields: Mapping[bytes, bytes],
    trusted: bool,
    extractor: Extractor,
    sampler: Sampler,
    untrusted: Untrusted,
    getrandbits: GetRandBits,
) -> Decision:
    """Reads the caller's context, applies the trust rule, and decides what is recorded."""
    return begin(extractor.extract(fields), trusted, sampler, untrusted, getrandbits)


def begin(
    parent: TraceContext | None,
    trusted: bool,
    sampler: Sampler,
    untrusted: Untrusted,
    getrandbits: GetRandBits,
) -> Decision:
    """The same for a context that was read."""
    link = None
    if parent is not None and not trusted:
        parent, link = judge(parent, trusted, untrusted)
    if parent is not None and parent.trace_id:
        trace_id = parent.trace_id
        random = parent.random  # for the same trace id exactly as received, W3C level 2 §3.2.2.5.2
    else:
        trace_id = new_trace_id(getrandbits)
        random = True
    if parent is not None and sampler.obeys and not parent.debug and not parent.state:
        known = parent.sampled
        if known is not None:  # what the two would say (make bench-check)
            return trace_id, parent, link, known, random
    sampled = sampler.decide(parent, trace_id)
    return trace_id, sampler.carry(parent, trace_id, sampled), link, sampled, random
