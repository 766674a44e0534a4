cdef class Endpoint:
    cdef public str authority, host, key, scheme, source, upstream, url
    cdef public int out, port
    cdef public long long number
    cdef public long long weight
    cdef public bint up, discovered

    cpdef bint mark(self, int reason, bint holds)
