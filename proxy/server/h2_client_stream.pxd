cimport cython

from proxy.http.edits cimport Edits
from proxy.http.h2 cimport Session
from proxy.http.h2_request cimport answer_fields, trailer_fields, trailers_of
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.server.h1_goodbye cimport Unsent
from proxy.server.house cimport House
from proxy.server.peer cimport Peer
from proxy.server.sides cimport ClientSide, StoryEvents

cdef int HIGH, LOW

cdef class Carrier:
    cdef public House house
    cdef public Session session
    cdef public Peer peer
    cdef public bint trusted, forwards
    cdef public str scheme
    cdef public set blocked
    cdef public list held

    cpdef touch(self)
    cpdef push(self)
    cpdef answered(self, ClientStream stream)
    cpdef has_reset(self, int code)

cdef class ClientStream(ClientSide):
    cdef public bint _answered, _ended, _paused, _tunnel, _unwanted, _upload_done, heard
    cdef public RequestHead _asked
    cdef public long long _came
    cdef public Carrier _carrier
    cdef public Session _session
    cdef public list _held, _pending
    cdef public tuple _held_trailers
    cdef public object _pace, number
    cdef public Unsent _stall
    cdef public StoryEvents story

    cpdef begin(self, StoryEvents story, RequestHead head)
    cpdef receive(self, bytes data, bint ended)
    cdef bint _holds(self)
    @cython.locals(story=StoryEvents)
    cdef _deliver(self, bytes data, tuple trailers)
    cpdef release(self)
    @cython.locals(asked=RequestHead)
    cdef bint _is_before_tunnel(self)
    @cython.locals(story=StoryEvents)
    cpdef closed(self, int code)
    cdef _begin_answer(self)
    cpdef look(self)
    cdef _drop(self)
    @cython.locals(story=StoryEvents)
    cpdef bint tick(self, long long now)
    cdef bint _has_stalled(self, long long now)
    cdef bint _is_slow(self, long long now)
