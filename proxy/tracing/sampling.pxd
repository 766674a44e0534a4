from proxy.kernel.hexes cimport reaches
from proxy.kernel.states cimport mentions
from proxy.tracing.context cimport TraceContext

cdef bint _agrees(bytes state, bytes trace_id, bint sampled) except -1

cdef class Sampler:
    cdef readonly bint obeys
    cdef bytes _th, _bound
    cdef TraceContext _root

    cpdef bint decide(self, TraceContext context, bytes trace_id) except -1
    cpdef bytes root_state(self)
    cpdef TraceContext carry(self, TraceContext context, bytes trace_id, bint sampled)
