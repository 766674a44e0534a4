from libc.stdint cimport uint8_t, uint32_t

from proxy.kernel.protowrite cimport Buffer
from proxy.kernel.wire cimport Entry, Message, Schema

cdef enum:
    MOST = 64  # frames; what is deeper is not read here

cdef struct Frame:  # an object or array that is open
    const Message *message  # of an object; NULL = nobody wants what is in it
    const Entry *entry  # of an array: what its elements are; NULL likewise
    const uint8_t *start  # in the text
    Py_ssize_t tag  # where its field begins in the output, and
    Py_ssize_t at  # its length, once that is known
    int reserved  # bytes for the length; 0 = it has none
    int number  # of an array's field
    uint32_t seen  # numbers of fields
    int next  # name that is likely to come
    bint is_array
    bint is_filled
    bint has_one  # a member of its oneof
    bint is_large
    long long members
    Py_ssize_t sizes[2]  # of the output, some 64 and 128 members ago

cdef class Reader:
    cdef bytes text
    cdef Schema schema
    cdef const uint8_t *p
    cdef const uint8_t *begin
    cdef const uint8_t *end
    cdef const uint8_t *weighed
    cdef const uint8_t *pause  # where the step is over
    cdef Buffer buffer
    cdef long long braces
    cdef long long values
    cdef int depth  # of frames
    cdef bint has_begun
    cdef Frame frames[MOST]
    cdef uint8_t lengths[256]  # bytes of the length that a message of that kind had last

    cdef int run(self) noexcept
    cdef int over(self) noexcept
    cdef int member(self, Frame *frame) noexcept
    cdef int named(self, Frame *frame, const Entry **entry, int *number) noexcept
    cdef int value(self, const Entry *entry, int number, bint in_array) noexcept
    cdef int skipped(self) noexcept
    cdef int string(self) noexcept
    cdef int literal(self, const char *word, int size) noexcept
    cdef int open(self, const Message *message, const Entry *entry, int number) noexcept
    cdef int expected(self, const Message *message) noexcept
    cdef int close(self, Frame *frame) noexcept
    cdef int counted(self, Frame *frame) noexcept
    cdef int weigh(self) noexcept
