from libc.stdint cimport uint8_t, uint64_t


cdef class Buckets:
    cdef double *_bounds  # and behind them the counts, one more
    cdef double *_counts
    cdef Py_ssize_t _size  # of bounds
    cdef public double sum

    cdef void put(self, double value, double weight) noexcept


cdef class Tally:
    cdef public double calls
    cdef public object seen, durations, exemplars


cdef struct Text:
    const uint8_t *at
    Py_ssize_t size

cdef struct Field:
    uint64_t number
    uint64_t value  # of a varint or of eight bytes
    Text text
    int wire

cdef struct Span:
    Text name, state, trace, id
    uint64_t start, end, kind, code


cdef class Digest:
    cdef tuple _names
    cdef double _divisor
    cdef uint64_t _latest, _longest
    cdef object _weigh
    cdef uint8_t *_room  # the key under construction
    cdef Py_ssize_t _used, _most

    cdef int put(self, const uint8_t *data, Py_ssize_t size) except -1
    cdef int number(self, uint64_t value, int size) except -1
    cdef bint read(self, Span *span, Text text) except -1
    cdef int wanted(self, Text pair) except -2
    cdef bint add(self, Tally tally, Span *span, now) except -1
