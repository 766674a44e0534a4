cimport cython

from proxy.kernel.queue cimport Queue
from proxy.upstream.endpoint cimport Endpoint


cdef class Balancer:
    cpdef Endpoint pick(self, long long now, bytes key=*, Endpoint avoid=*)


cdef class Turns:
    cpdef Endpoint turn(self)
    cpdef bint several(self)
    cpdef Endpoint last(self)


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


cdef class Cycle(Turns):
    cdef public list endpoints
    cdef list _balance, _turns
    cdef object _total
    cdef Py_ssize_t _period, _next
    cdef Endpoint _last

    @cython.locals(best=Py_ssize_t, i=Py_ssize_t, endpoint=Endpoint)
    cdef Endpoint _richest(self)


cdef class Schedule(Turns):
    cdef bint _panic
    cdef public Queue _queue

    cpdef bint change(self, Endpoint endpoint, bint usable)
