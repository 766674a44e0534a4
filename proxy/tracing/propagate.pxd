from proxy.kernel.hexes cimport parent_fields
from proxy.tracing.context cimport TraceContext
from proxy.tracing.w3c cimport extract as extract_w3c

cimport cython

cdef class Extractor:
    cdef tuple _rows
    cdef bint _w3c_first

    @cython.locals(context=TraceContext)
    cpdef TraceContext extract(self, dict fields)

cdef class Injector:
    cdef tuple _rows
    cdef bint _w3c_only, _random_flag, _state

    @cython.locals(flags=int, state=bytes)
    cpdef list inject(
        self, bytes trace_id, bytes span_id, bint sampled, bint random, TraceContext context
    )
