from proxy.kernel.clock cimport monotonic_ns
from proxy.server.h1_answer cimport AnswerWriter
from proxy.server.house cimport House
from proxy.server.sides cimport StoryEvents

cdef class Unsent:
    cdef public long long _bytes, _since

    cpdef start(self, long long now)
    cpdef bint has_waited(self, long long unsent, long long now)

cdef class Leaver(AnswerWriter):
    cdef public int _state
    cdef public bytes _buffer
    cdef public House _house
    cdef public bint _queued
    cdef public StoryEvents _story
    cdef public Unsent _unsent

    cpdef bint eof_received(self)
    cdef bint _leave_by_turns(self)
    cdef _let_go(self)
    cpdef bint _is_forgotten(self, long long now)
    cpdef hang_up(self)
    cdef _linger(self)
    cpdef cut(self)
