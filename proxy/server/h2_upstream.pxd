cimport cython

from proxy.http.h2 cimport Session
from proxy.kernel.clock cimport monotonic_ns
from proxy.server.h2_sender cimport RequestSender
from proxy.server.h2_stream cimport H2UpstreamStream
from proxy.server.tap cimport Tap

cdef int ENHANCE_YOUR_CALM, MOST_STREAMS, NO_ERROR, REFUSED_STREAM, WRITE_HIGH
cdef long long WINDOW, WINDOWS

cdef class H2Upstream(RequestSender):
    cdef public bint _spoke, refusing, used
    cdef public object _goaway, _pulse
    cdef public Py_ssize_t _limit
    cdef public long long _shut_at, idle_since, old
    cdef public Tap _tap
    cdef public list _touched
    cdef public str _why

    cpdef bint has_room(self)
    cpdef H2UpstreamStream lend(self, bint used)
    cpdef data_received(self, bytes data)
    @cython.locals(stream=H2UpstreamStream, touched=list)
    cdef _take(self, list events)
    @cython.locals(streams=dict, touched=list, stream=H2UpstreamStream)
    cdef _tell(self, list events)
    cdef _tell_stream(self, H2UpstreamStream stream, kind, event)
    cdef _tell_all(self, event)
    cdef _on_closed(self, event)
    cdef _forget(self, H2UpstreamStream stream)
    cdef _settle(self)
    cdef _fail(self, error)
