from proxy.kernel.hexes cimport trace_id as new_trace_id
from proxy.tracing.context cimport TraceContext
from proxy.tracing.propagate cimport Extractor
from proxy.tracing.sampling cimport Sampler
from proxy.tracing.trust cimport judge

cimport cython

cpdef tuple start(
    dict fields,
    bint trusted,
    Extractor extractor,
    Sampler sampler,
    str untrusted,
    object getrandbits,
)

@cython.locals(link=TraceContext, trace_id=bytes, random=bint, sampled=bint)
cpdef tuple begin(
    TraceContext parent,
    bint trusted,
    Sampler sampler,
    str untrusted,
    object getrandbits,
)
