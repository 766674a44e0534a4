cdef class Tap:
    cdef public int _fd
    cdef public object _input, _tls, _transport
    cdef public bint ended, held, lent, paused
    cdef public long long ended_at

    cpdef pause(self)
    cpdef resume(self)
    cpdef hold(self)
    cpdef let_go(self)
    cpdef lend(self)
    cpdef take_back(self)
    cpdef write_last(self)
    cpdef open(self)
    cpdef end(self, long long now)
    cpdef bint hides_the_end(self, long long missing)
    cpdef long long unacknowledged(self)
    cpdef bint has_input(self)
