from proxy.server.tls cimport TlsLayer

cdef class TlsGuest(TlsLayer):
    cdef public bint filed, is_named, watched
    cdef public object certified, peer, shown
    cdef bytes _first
    cdef public object _house, _reception
    cdef bint _is_aged, _left, _queued, _refused, _shut
    cdef long long _since

    cpdef data_received(self, bytes data)
    cpdef bint eof_received(self)
    cpdef connection_lost(self, error)
    cdef _hear(self, bytes data)
    cpdef _shake(self, long long size)
    cpdef go_on(self)
    cdef bint _step_back(self) except -1
    cdef _enter(self)
    cdef _refuse_plain(self, bytes data)
    cdef _refuse(self, tuple why, bytes answer=*)
    cdef _count(self, tuple why)
    cpdef tick(self, long long now)
    cpdef long long idle_since(self)
