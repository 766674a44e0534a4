from libc.stdint cimport uint8_t, uint32_t, uint64_t

from proxy.kernel.names cimport PASSED, Names  # PASSED: Line.kind of a line that is passed on

cdef enum:
    FEW = 32  # lines that a head has room for without asking for more
    TAKEN = 255  # of one that was taken away

cdef struct Line:
    uint32_t start, name_end, value, value_end, end   # offsets into data; start..end is the whole line with its CRLF
    uint8_t kind      # 0 = passed on as it came; others are special (in `fields`) or were taken away

# What the scanner knows of a head so far. It looks at nothing outside data[0:size].
cdef struct Scan:
    uint32_t next    # where it looks next
    int count, room  # lines found, and how many `lines` has room for
    Line* lines
    uint64_t seen    # bits of the special names that came
    uint64_t twice   # of those that came more than once

cdef enum:
    WHOLE = 0  # results of scan_fields: the head ends where the data end
    REFUSED = 1
    MORE = 2  # `lines` is full; call again with more room

cdef class Lines:     # the field lines of one head: the bytes that came and offsets in them
    cdef readonly bytes data
    cdef readonly int count
    cdef Line* at
    cdef readonly dict fields      # special ones by lower-case name, doubled ones joined by ", ", values stripped (as http/head.py says today)
    cdef readonly long long seen   # headers.bits() of the special names
    cdef readonly str method, version
    cdef readonly str path, query, tail  # as in RequestHead; "" = the target is unusual
    cdef readonly bytes reason
    cdef uint32_t target_start, target_end
    cdef readonly int status
    cdef readonly bint dated
    cdef int room                  # lines that `at` has room for

    cdef bint scan(self, uint32_t start, Names* names) except -1
    cdef int grow(self) except -1
    cdef bint is_framed(self, const uint8_t* data, Scan* scan) noexcept
    cdef int collect(self, uint64_t twice) except -1

    cpdef list pairs(self)         # (name, value) of those that are passed on, in order, as today's `pairs`
    cpdef list each(self, bytes name)  # their stripped values by lower-case name
    cpdef remove(self, names)      # mark those with one of the lower-case names as taken away
    cpdef drop_underscores(self)   # the same for names with an underscore

cdef int scan_fields(const uint8_t* data, uint32_t size, Names* names, Scan* scan) noexcept nogil

cpdef Lines scan_request(bytes data)
cpdef Lines scan_response(bytes data)
cpdef bint is_ordinary(str path)
cpdef object decimal(bytes value)
