from proxy.kernel.hexes cimport split_parent, traceparent
from proxy.kernel.states cimport mentions, plain_members
from proxy.tracing.context cimport TraceContext

cimport cython

@cython.locals(header=bytes, state=bytes, context=TraceContext)
cpdef TraceContext extract(dict fields)

@cython.locals(parts=tuple, flags=int, context=TraceContext)
cpdef TraceContext parse_parent(bytes header)

@cython.locals(value=bytes)
cpdef bytes parse_state(bytes header)

@cython.locals(parent=bytes)
cpdef list inject(bytes trace_id, bytes span_id, bint sampled, bint random, TraceContext context)

cpdef list inject_plain(
    bytes trace_id, bytes span_id, bint sampled, bint random, TraceContext context
)
