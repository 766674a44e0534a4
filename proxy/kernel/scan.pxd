from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    FEW = 32  # lines that a head has room for without asking for more
    PASSED = 0  # Line.kind of a line that is passed on as it came
    TAKEN = 255  # of one that was taken away

cdef struct Line:
    uint32_t start, name_end, value, value_end, end   # offsets into data; start..end is the whole line with its CRLF
    uint8_t kind      # 0 = passed on as it came; others are special (in `fields`) or were taken away

cdef class Lines:     # the field lines of one head: the bytes that came and offsets in them
    cdef readonly bytes data
    cdef int count
    cdef Line* at
    cdef readonly dict fields      # special ones by lower-case name, doubled ones joined by ", ", values stripped (as http/head.py says today)
    cdef int room                  # lines that `at` has room for
    cdef Line few[FEW]

    cpdef list pairs(self)         # (name, value) of those that are passed on, in order, as today's `pairs`
    cpdef list each(self, bytes name)  # their stripped values by lower-case name
    cpdef remove(self, names)      # mark those with one of the lower-case names as taken away
    cpdef drop_underscores(self)   # the same for names with an underscore
