from libc.stdint cimport uint64_t

cdef class Chance:
    cdef uint64_t a, b, c, d

    cdef uint64_t next(self) noexcept
