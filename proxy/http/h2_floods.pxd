cimport cython

cdef int _DATA, _HEADERS, _RST_STREAM, _PUSH, _CONTINUATION, _END_STREAM, _END_HEADERS
cdef int _HEADER, _STREAM, SLICE

cdef class Bucket:
    cdef double _burst, _rate, _tokens
    cdef long long _since

    cpdef bint take(self, long long now)
    cpdef earn(self, double tokens)

cdef class FrameCounter:
    cdef public bint _head_open, _last_ends, flooded
    cdef public Bucket control, resets
    cdef public Py_ssize_t skip

    @cython.locals(
        at=Py_ssize_t, size=Py_ssize_t, work=int, length=Py_ssize_t, kind=int, whole=bint
    )
    cpdef Py_ssize_t slice(self, bytes data, Py_ssize_t begin, long long now)
