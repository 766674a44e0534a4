cdef class Endpoint:
    cdef public str authority, host, upstream, url
    cdef public int port
    cdef public long long weight
    cdef public bint up
