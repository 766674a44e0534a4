from libc.stdint cimport uint8_t, uint32_t, uint64_t

from proxy.kernel.names cimport Names

cdef struct Line:  # offsets into the data; start..end is the whole line with its CRLF
    uint32_t start, name_end, value, value_end, end
    uint8_t kind  # 0 = passed on as it came; others are special (in `fields`) or were taken away

# What the scanner knows of a head so far. It looks at nothing outside data[0:size].
cdef struct Scan:
    uint32_t next  # where it looks next
    int count, room  # lines found, and how many `lines` has room for
    Line* lines
    uint64_t seen  # bits of the special names that came
    uint64_t twice  # of those that came more than once

cdef enum:
    WHOLE = 0  # results of scan_fields: the head ends where the data end
    REFUSED = 1
    MORE = 2  # `lines` is full; call again with more room

cdef int scan_fields(const uint8_t* data, uint32_t size, Names* names, Scan* scan) noexcept nogil
