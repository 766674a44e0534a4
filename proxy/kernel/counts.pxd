from cpython.ref cimport PyObject


cdef struct Exemplar:
    PyObject* trace_id  # owned; NULL = there is none
    PyObject* span_id
    long long value, time


cdef class Number:
    cdef public long long value
    cdef public object reported, seen
    cdef public bint kept


cdef class Histogram:
    cdef readonly tuple boundaries
    cdef public object reported, seen
    cdef public bint kept
    cdef int _size  # of _bounds; of the others it is one more
    cdef long long* _bounds
    cdef long long* _counts
    cdef Exemplar* _exemplars
    cdef unsigned long long _low  # the sum in two's complement: 2**63 ns pass within days
    cdef long long _high

    cdef int _count(self, long long value) noexcept
    cpdef record(self, long long value)
    cpdef record_traced(self, long long value, bytes trace_id, bytes span_id, long long time)
