"""A buffer in which protobuf is written.

Bounds: whoever writes has called `reserve` with the most that it will write. There is always room
for a LEAD besides.
"""

from libc.stdlib cimport malloc, realloc
from libc.string cimport memcpy, memmove

from proxy.kernel.wire cimport (
    DOUBLE, ENUM, FIXED32, FIXED64, INT32, INT64, SFIXED64, SINT32, SINT64, UINT32
)


cdef int begin(Buffer *buffer, Py_ssize_t room, Py_ssize_t most) noexcept nogil:
    """-1 = there is no memory."""
    buffer.out = <uint8_t *>malloc(room)
    buffer.used, buffer.room, buffer.most = 0, room, most
    return 0 if buffer.out is not NULL else -1


cdef int reserve(Buffer *buffer, Py_ssize_t size) noexcept nogil:
    """Make room; -1 = that is too much."""
    cdef Py_ssize_t room = buffer.used + size + LEAD
    cdef void *made
    if room <= buffer.room:
        return 0
    if room > buffer.most:
        return -1
    room += room // 2
    made = realloc(buffer.out, room)
    if made is NULL:
        return -1
    buffer.out, buffer.room = <uint8_t *>made, room
    return 0


cdef void put_number(Buffer *buffer, int type, uint64_t bits) noexcept nogil:
    """At most ten bytes."""
    cdef int wire = wire_of(type)
    if wire == 0:
        if type == SINT32 or type == SINT64:
            bits = bits << 1 ^ (0 - (bits >> 63))
        put_varint(buffer, bits)
        return
    memcpy(buffer.out + buffer.used, &bits, 8)  # low bytes come first, on all that we run on
    buffer.used += 8 if wire == 1 else 4


cdef int put_length(Buffer *buffer, Py_ssize_t at, int reserved) noexcept nogil:
    """Of what begins at `at`, in the `reserved` bytes before that; how many it needs, or -1."""
    cdef Py_ssize_t size = buffer.used - at
    cdef int lead = width(size)
    if lead != reserved:
        if reserve(buffer, lead) != 0:
            return -1
        memmove(buffer.out + at - reserved + lead, buffer.out + at, size)
    buffer.used = at - reserved
    put_varint(buffer, size)
    buffer.used += size
    return lead


cdef int wire_of(int type) noexcept nogil:
    if type == DOUBLE or type == FIXED64 or type == SFIXED64:
        return 1
    return 5 if type == FIXED32 else 0


cdef uint64_t largest(int type, bint is_negative) noexcept nogil:
    """Number of that type, without its sign."""
    if type == INT64 or type == SFIXED64 or type == SINT64:
        return (<uint64_t>1 << 63) - (not is_negative)
    if type == INT32 or type == SINT32 or type == ENUM:
        return (<uint64_t>1 << 31) - (not is_negative)
    if is_negative:
        return 0
    return 0xFFFFFFFF if type == UINT32 or type == FIXED32 else <uint64_t>-1
