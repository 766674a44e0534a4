cimport cython

from proxy.kernel.clock cimport monotonic_ns
from proxy.server.h1_upstream cimport UpstreamConnection
from proxy.server.h2_upstream cimport H2Upstream
from proxy.server.pool cimport Pool
from proxy.server.sides cimport UpstreamSide

cdef class SharedPool(Pool):
    cdef public bint _gone, must
    cdef public object _dial
    cdef public Py_ssize_t _dialling, _each
    cdef public dict _free, _lines, _resets, _waiting

    @cython.locals(line=H2Upstream)
    cpdef UpstreamSide take(self, bint careful)
    cpdef bint give(self, UpstreamConnection connection, long long now)
    cpdef room(self, H2Upstream line)
    @cython.locals(waiting=dict)
    cdef _serve(self, H2Upstream line, bint used)
