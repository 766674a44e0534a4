cimport cython

from proxy.kernel.counts cimport Number


cdef class Contexts:
    cdef object _registry
    cdef dict _numbers
    cdef int _code
    cdef Number _number

    cpdef count(self, int code)

    @cython.locals(number=Number)
    cdef _turn_to(self, int code)


cdef class Few:
    cdef long long _next

    cpdef bint lets(self, long long now) except -1
