from proxy.kernel.hexes cimport is_hex
from proxy.tracing.context cimport TraceContext

cimport cython

@cython.locals(header=bytes, context=TraceContext)
cpdef TraceContext extract(dict fields)

@cython.locals(
    value=bytes, trace_id=bytes, span_id=bytes, rest=bytes, tail=bytes, state=bytes, parent=bytes,
    context=TraceContext,
)
cpdef TraceContext parse_single(bytes header)

@cython.locals(trace_id=bytes, span_id=bytes, said=bytes, debug=bint, context=TraceContext)
cpdef TraceContext extract_multi(dict fields)

cdef TraceContext _context(bytes trace_id, bytes span_id)

cpdef list inject_single(
    bytes trace_id, bytes span_id, bint sampled, bint random, TraceContext context
)

cpdef list inject_multi(
    bytes trace_id, bytes span_id, bint sampled, bint random, TraceContext context
)
