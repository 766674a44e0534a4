cimport cython

from proxy.upstream.endpoint cimport Endpoint
from proxy.upstream.turns cimport Cycle, Lane, Lanes, Many, Schedule, Turns


cdef class Balancer:
    cpdef Endpoint pick(self, long long now, bytes key=*, Endpoint avoid=*)


cdef class RoundRobin(Balancer):
    cdef dict _endpoints, _others
    cdef object _offset
    cdef Endpoint _last
    cdef public Turns _turns
    cdef bint _changed
    cdef double _panic

    @cython.locals(turns=Turns, chosen=Endpoint, others=Turns)
    cpdef Endpoint pick(self, long long now, bytes key=*, Endpoint avoid=*)
    cdef _change(self, Endpoint endpoint, bint usable)
    cdef _start_anew(self)
    cdef Turns _renew(self)
    cdef Cycle _without(self, Cycle turns, Endpoint avoid)
