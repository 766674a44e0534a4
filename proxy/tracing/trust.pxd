from proxy.tracing.context cimport TraceContext

cdef class Networks:
    cdef tuple _networks
    cdef bint _unix
    cdef readonly dict _memo

    cpdef bint holds(self, str address) except -1

cpdef tuple judge(TraceContext context, bint trusted, str untrusted)
