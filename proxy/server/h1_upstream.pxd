cimport cython

from proxy.kernel.clock cimport monotonic_ns
from proxy.kernel.chunks cimport ChunkedDecoder
from proxy.http.h1 cimport ResponseReader
from proxy.http.framing cimport announces_body, frame_response
from proxy.http.head cimport ResponseHead
from proxy.http.framing cimport announces_body, frame_response
from proxy.http.headers cimport keep_alive_ns
from proxy.kernel.ends cimport behind, find_blank, upto
from proxy.server.h1_request cimport RequestWriter
from proxy.server.outbox cimport Outbox
from proxy.server.sides cimport Lender
from proxy.server.tap cimport Tap

cdef bytes BLANK
cdef int MOST_HEAD, MOST_INFORMATIONAL, PLENTY
cdef int BODY, CLOSED, HEAD, IDLE, TUNNEL

cdef class Home(Lender):
    cdef public Outbox outbox
    cdef public object turns

    cpdef know(self, UpstreamConnection connection, long long now)
    cpdef bint give(self, UpstreamConnection connection, long long now)
    cpdef bint rest(self, UpstreamConnection connection, long long now)
    cpdef mistrust(self, UpstreamConnection connection)
    cpdef forget(self, UpstreamConnection connection)

cdef bytes KEEP_ALIVE
cdef long long _HINT

cdef class UpstreamConnection(RequestWriter):
    cdef public Home pool
    cdef public Tap _tap
    cdef public long long old
    cdef public long long idle_since
    cdef public bytes _buffer
    cdef public ChunkedDecoder _decoder
    cdef public ResponseReader _reader
    cdef public long long _hint
    cdef public int _interim
    cdef public bint _rests, _untouched
    cdef object __weakref__

    cpdef bint has_input(self)
    cpdef bint has_waited(self, long long now, long long limit)
    cpdef data_received(self, bytes data)
    cpdef bint eof_received(self)
    cdef bint _is_unread(self)
    cdef bint _rest(self, long long now)
    cdef str _cut_off(self, int state, error)
    @cython.locals(end=Py_ssize_t, head=ResponseHead)
    cdef _read_head(self, bytes data)
    cdef _begin_body(self, bytes data)
    @cython.locals(chunked=bint, hint=bytes)
    cdef _take_head(self, ResponseHead head)
    cdef _take_switch(self, ResponseHead head)
    @cython.locals(left=object)
    cdef _read_body(self, bytes data)
    @cython.locals(index=Py_ssize_t, last=Py_ssize_t, piece=bytes, pieces=list, done=bint)
    cdef _read_chunks(self, ChunkedDecoder decoder, bytes data)
    cpdef go_on(self)
    @cython.locals(now=cython.longlong, kept=bint)
    cdef _complete(self, tuple trailers=*)
