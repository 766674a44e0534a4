cimport cython

from proxy.http.edits cimport Edits
from proxy.http.h2_request cimport trailer_fields, trailers_of
from proxy.http.h2_answer cimport informational_head, request_fields, response_head
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.kernel.clock cimport monotonic_ns
from proxy.server.peer cimport Peer
from proxy.server.sides cimport StoryEvents, UpstreamSide

cdef int WANTS_TUNNEL, MOST_INFORMATIONAL, CANCEL
cdef tuple NO_TRAILERS

cdef class Carrier:
    cdef public Peer peer
    cdef public str scheme
    cdef public bytes scheme_sent
    cdef public int paused

    cpdef begin(self, H2UpstreamStream stream, list fields)
    cpdef begin_tunnel(self, H2UpstreamStream stream, list fields)
    cpdef upload(self, H2UpstreamStream stream, bytes data, bint last)
    cpdef end_upload(self, H2UpstreamStream stream, list trailers)
    cpdef acknowledge(self, H2UpstreamStream stream)
    cpdef reset(self, H2UpstreamStream stream, int code)
    cpdef unlend(self)
    cpdef unpause(self)
    cpdef was_reset(self, int code)

cdef class H2UpstreamStream(UpstreamSide):
    cdef public bint _ended, _paused, _shut, _tunnel, headed, request_done
    cdef public Carrier _connection
    cdef public tuple _end
    cdef public object _held
    cdef public int _interim
    cdef public str _method, _protocol
    cdef public long long _reset, sent_at
    cdef public object number
    cdef public StoryEvents story

    cdef _unpause(self)
    cdef _cancel(self)
    cpdef on_informational(self, tuple fields)
    @cython.locals(head=ResponseHead)
    cpdef on_head(self, tuple fields, bint ended)
    cpdef on_data(self, bytes data, bint ended)
    cpdef on_trailers(self, fields)
    cpdef on_reset(self, int code)
    cpdef on_closed(self, int code)
    @cython.locals(story=StoryEvents)
    cpdef fail(self, error)
    cpdef flush(self)
    cdef _refuse(self, error)
    cpdef _deliver(self)
    @cython.locals(story=StoryEvents)
    cdef _finish(self, tuple trailers)
