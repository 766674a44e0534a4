cimport cython

from proxy.kernel.clock cimport monotonic_ns
from proxy.kernel.chunks cimport ChunkedDecoder
from proxy.http.h1 cimport RequestReader
from proxy.http.receive cimport receive
from proxy.http.target cimport Authorities
from proxy.kernel.ends cimport behind, find_blank, upto
from proxy.server.h1_goodbye cimport Leaver
from proxy.server.h1_heads cimport HeadSearch
from proxy.server.house cimport House
from proxy.server.sides cimport StoryEvents

cdef bytes BLANK
cdef int BODY, CLOSED, HEAD, LINGER, TUNNEL, WAIT
cdef bytes _PREFACE
cdef int _HOLD, _AT_ONCE, _SLICE, PLENTY

cdef class ClientConnection(Leaver):
    cdef public ChunkedDecoder _decoder
    cdef public object _door, _pace, _tell
    cdef public RequestReader _reader
    cdef public Authorities authorities
    cdef public bint _early, _pumping, _served
    cdef public long long _since
    cdef public HeadSearch _search
    cdef public bint filed, watched
    cdef object __weakref__

    cpdef judge(self)
    cpdef data_received(self, bytes data)
    cdef _pump(self, int heads)
    cdef _queue(self)
    cpdef go_on(self)
    @cython.locals(data=bytes, came=bytes, end=Py_ssize_t, house=House, story=StoryEvents)
    cdef bint _take_head(self)
    cdef bint _partial_head(self, bytes data)
    cdef _hand_over(self, bytes data)
    @cython.locals(left=cython.longlong, data=bytes)
    cdef bint _take_body(self)
    @cython.locals(index=Py_ssize_t, last=Py_ssize_t, piece=bytes, pieces=list, done=bint)
    cdef bint _take_chunks(self, StoryEvents story, ChunkedDecoder decoder, bytes data)
    cdef _refuse(self, error)
    cpdef long long idle_since(self)
    cpdef tick(self, long long now)
    cdef bint _is_slow(self, long long now)
    cdef long long _missing(self)
    cdef _check_idle(self, long long waited)
