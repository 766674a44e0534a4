from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    BUCKETS = 256

cdef struct Seen:  # of one span; pointers into the buffer
    const uint8_t *trace
    Py_ssize_t trace_size
    const uint8_t *span
    Py_ssize_t span_size
    const uint8_t *parent
    Py_ssize_t parent_size
    const uint8_t *name
    Py_ssize_t name_size
    uint32_t kind
    uint32_t status
    uint64_t start
    uint64_t end

cdef class Pace:
    cdef uint32_t counts[BUCKETS]
    cdef uint32_t total
    cdef uint32_t since
    cdef uint32_t limit

    cdef bint is_slow(self, long long took)
    cdef void learn(self)

cdef class Judge:
    cdef dict paces
