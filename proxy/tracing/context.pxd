cdef class TraceContext:
    cdef public bytes trace_id, span_id, state
    cdef public object sampled  # True, False, None
    cdef public bint debug, random
    cdef public int format  # index of FORMATS
