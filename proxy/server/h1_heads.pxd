from proxy.kernel.clock cimport monotonic_ns
cdef class HeadSearch:
    cdef public bint _blank
    cdef public long long begun, seen
    cdef public bint touched

    cpdef reset(self)
    cpdef long long waited(self, long long now)
    cpdef bytes partial(self, bytes data, limits)
