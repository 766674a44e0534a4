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
    cdef long long _next, _every

    cpdef bint lets(self, long long now) except -1


cdef class Seen:
    cdef Few _all, _remarkable
    cdef public long long left_out

    cpdef bint lets(self, long long now, long long took, bint failed) except -1
