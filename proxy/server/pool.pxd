from proxy.server.h1_upstream cimport Home, UpstreamConnection
from proxy.server.sides cimport UpstreamSide

cdef class Pool(Home):
    cdef public dict _idle, _resting
    cdef public long long _max_age
    cdef public set _open, _dials, _fresh
    cdef public long long _told
    cdef public str host, place, scheme, send_proxy, source, upstream
    cdef public int port
    cdef public long long counted, opened, reused, idle_limit, idle_ns
    cdef public bint _talks
    cdef public object bounds, registry, session, tls
    cdef object __weakref__

    cpdef UpstreamSide take(self, bint careful)
