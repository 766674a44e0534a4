from proxy.kernel.hexes cimport split_parent, traceparent
from proxy.tracing.context cimport TraceContext

cimport cython

@cython.locals(header=bytes, context=TraceContext)
cpdef TraceContext extract(dict fields)

@cython.locals(parts=tuple, flags=int, context=TraceContext)
cpdef TraceContext parse_parent(bytes header)

cpdef bytes parse_state(bytes header)

@cython.locals(parent=bytes)
cpdef list inject(bytes trace_id, bytes span_id, bint sampled, bint random, TraceContext context)

cpdef list inject_plain(
    bytes trace_id, bytes span_id, bint sampled, bint random, TraceContext context
)
