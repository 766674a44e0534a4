from proxy.kernel.hexes cimport parent_fields
from proxy.tracing.brought cimport trusted_as, untrusted_as
from proxy.tracing.context cimport TraceContext
from proxy.kernel.scan cimport Head
from proxy.tracing.w3c cimport extract as extract_w3c
from proxy.tracing.w3c cimport parse_parent, parse_state

cimport cython

cdef bytes PARENT, STATE
cdef int NOTHING
cdef long long _PARENT, _STATE, _CONTEXT

cdef class Extractor:
    cdef tuple _rows
    cdef bint _w3c_first
    cdef frozenset _reads

    @cython.locals(context=TraceContext)
    cpdef TraceContext extract(self, dict fields)
    @cython.locals(context=TraceContext, header=bytes, state=bytes)
    cpdef TraceContext read(self, Head head, long long seen)
    cpdef int brought(self, TraceContext context, bint trusted, Head head, long long seen) except -1

cdef class Injector:
    cdef tuple _rows
    cdef bint _w3c_only, _random_flag, _state
    cdef readonly int withheld

    @cython.locals(flags=int, state=bytes)
    cpdef list inject(
        self, bytes trace_id, bytes span_id, bint sampled, bint random, TraceContext context
    )
