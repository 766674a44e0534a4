cimport cython

from proxy.kernel.queue cimport Queue
from proxy.upstream.endpoint cimport Endpoint


cdef class Turns:
    cpdef Endpoint turn(self)
    cpdef bint several(self)
    cpdef Endpoint last(self)


cdef class Cycle(Turns):
    cdef public list endpoints
    cdef list _balance, _turns
    cdef object _total
    cdef Py_ssize_t _period, _next
    cdef Endpoint _last

    @cython.locals(best=Py_ssize_t, i=Py_ssize_t, endpoint=Endpoint)
    cdef Endpoint _richest(self)


cdef class Many(Turns):
    cpdef bint change(self, Endpoint endpoint, bint usable)


cdef class Lane:
    cdef public object weight
    cdef public list endpoints
    cdef public Py_ssize_t next
    cdef public double step, at


cdef class Lanes(Many):
    cdef bint _panic
    cdef public list _lanes
    cdef dict _places

    @cython.locals(lane=Lane, other=Lane, at=Py_ssize_t)
    cpdef Endpoint turn(self)
    @cython.locals(lane=Lane)
    cpdef bint change(self, Endpoint endpoint, bint usable)
    @cython.locals(lane=Lane)
    cdef _put(self, Endpoint endpoint)
    @cython.locals(lane=Lane, at=Py_ssize_t)
    cdef _drop(self, Endpoint endpoint)
    cdef _move(self, Lane lane, Py_ssize_t start, Py_ssize_t end)


cdef class Schedule(Many):
    cdef bint _panic
    cdef public Queue _queue
