cimport cython

from proxy.kernel.clock cimport monotonic_ns
from proxy.server.peer cimport Peer
from proxy.upstream.endpoint cimport Endpoint

cdef class Sidecar:
    cdef public object house, first, here, mesh
    cdef public dict sides
    cdef public bint secure, is_strict
    cdef set _own
    cdef dict _choosers, _judged
    cdef tuple _app
    cdef object _peers
    cdef frozenset _opaque
    cdef bint _has_peers, _is_tproxy

    @cython.locals(called=tuple, app=tuple)
    cpdef tuple inward(self, Peer peer, long long now)
    cpdef bint is_own(self, tuple place, long long now) except -1
    cpdef str source(self, Peer peer, tuple place)
    cpdef bint is_peer(self, tuple place, str authority) except -1
    cdef bint _is_peer(self, str address, str authority) except -1
