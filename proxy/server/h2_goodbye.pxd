from proxy.kernel.clock cimport monotonic_ns
from proxy.server.h1_goodbye cimport Unsent
from proxy.server.h2_client_stream cimport Carrier, ClientStream

cdef long long _GOAWAY_NS

cdef class Departing(Carrier):
    cdef public long long _goaway, _head_since, _since
    cdef public bint _leaves, _queued, _writable
    cdef public dict _streams
    cdef public list _early
    cdef public Unsent _unsent
    cdef public object transport

    cpdef abandon(self)
    cpdef long long idle_since(self)
    cpdef tick(self, long long now)
    cdef _check_head(self, long long now)
    cdef _look_up(self)
    cdef _check_idle(self, long long waited)
    cpdef close_after(self)
    cdef _announce(self, str reason)
    cpdef goaway_for_good(self)
    cpdef cut(self)
