from libc.stdint cimport uint8_t, uint32_t, uint64_t

from proxy.kernel.fields cimport Line
from proxy.kernel.names cimport PASSED, Names  # PASSED: Line.kind of a line that is passed on

cdef enum:
    FEW = 32  # lines that a head has room for without asking for more
    TAKEN = 255  # the kind of a line that was taken away

cdef class Lines:  # the field lines of one head: the bytes that came and offsets in them
    cdef readonly bytes data
    cdef readonly int count
    cdef Line* at
    cdef readonly long long seen  # headers.bits() of the special names
    cdef readonly str method, version
    cdef readonly str path, query, tail  # as in RequestHead; "" = the target is unusual
    cdef readonly bytes reason
    cdef readonly int status
    cdef readonly bint dated
    cdef uint32_t target_start, target_end
    cdef int room  # lines that `at` has room for
    cdef uint64_t twice  # bits of what came more than once

    cdef bint scan(self, uint32_t start, Names* names) except -1
    cdef int grow(self) except -1
    cdef bint is_framed(self, const uint8_t* data) noexcept
    cdef bytes value_of(self, Line* line)

    cpdef list pairs(self)  # (name, value) of those that are passed on, in order
    cpdef list lowered(self)  # the same, names in lower case and values without blanks around
    cpdef list each(self, bytes name)  # their stripped values by lower-case name
    cpdef remove(self, names)  # mark those with one of the lower-case names as taken away
    cpdef drop_underscores(self)  # the same for names with an underscore
    cpdef bytes special(self, bytes name)
    cpdef dict specials(self, long long bits=*)

cdef class Head:  # the base of both heads
    cdef public Lines lines  # None: they are in a list of the head's
    cdef dict made

    cpdef hold(self, dict fields)
    cpdef bytes field(self, bytes name)
    cpdef dict some(self, long long bits)
    cpdef list unscanned(self)

cpdef Lines scan_request(bytes data)
cpdef Lines scan_response(bytes data)
