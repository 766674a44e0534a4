cdef class Endpoint:
    cdef public str authority, host, key, scheme, upstream, url
    cdef public int port
    cdef public long long weight
    cdef public bint up
