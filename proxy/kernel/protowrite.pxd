from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    LEAD = 12  # a tag of two bytes, and a varint of ten

cdef struct Buffer:
    uint8_t *out
    Py_ssize_t used
    Py_ssize_t room
    Py_ssize_t most  # bytes that it may become


cdef inline int width(uint64_t value) noexcept nogil:
    """Bytes of it as a varint."""
    cdef int size = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


cdef inline int put_varint(Buffer *buffer, uint64_t value) noexcept nogil:
    """How many bytes it took."""
    cdef uint8_t *at = buffer.out + buffer.used
    cdef int size = 1
    while value > 0x7F:
        at[0] = (value & 0x7F) | 0x80
        at += 1
        value >>= 7
        size += 1
    at[0] = <uint8_t>value
    buffer.used += size
    return size


cdef inline int put_tag(Buffer *buffer, int number, int wire) noexcept nogil:
    return put_varint(buffer, <uint64_t>(number << 3 | wire))


cdef int begin(Buffer *buffer, Py_ssize_t room, Py_ssize_t most) noexcept nogil
cdef int reserve(Buffer *buffer, Py_ssize_t size) noexcept nogil
cdef void put_number(Buffer *buffer, int type, uint64_t bits) noexcept nogil
cdef int put_length(Buffer *buffer, Py_ssize_t at, int reserved) noexcept nogil
cdef int wire_of(int type) noexcept nogil
cdef uint64_t largest(int type, bint is_negative) noexcept nogil
