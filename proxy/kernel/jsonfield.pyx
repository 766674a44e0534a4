"""One value of JSON that is no object and no array, written as the field that it is.

Each function returns where the value ends, NULL for one that is not ordinary. Bounds: of a text or
id no more is written than it has in JSON, LEAD for its tag and length, and LEAD for a number; that
much was reserved.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memmove

from proxy.kernel.jsontext cimport (
    base64_of, hex_of, literal_end, plain_end, real_of, string_end, unescaped, whole_of
)
from proxy.kernel.protowrite cimport (
    LEAD, largest, put_number, put_tag, put_varint, reserve, width, wire_of
)
from proxy.kernel.wire cimport BOOL, BYTES, DOUBLE, PARENT, PRESENCE, SPAN, STRING, TRACE, utf8


cdef const uint8_t *scalar(
    Buffer *buffer, const uint8_t *p, const uint8_t *end, const Entry *entry, int number, bint packed
) noexcept:
    """`packed`: an element of an array, which is written even if it is empty; numbers without tag."""
    cdef const uint8_t *after
    if p == end or reserve(buffer, LEAD) != 0:
        return NULL
    if entry.type == STRING or entry.type == BYTES:
        if p[0] != 0x22:
            return NULL
        if entry.type == STRING:
            return text(buffer, p + 1, end, number, packed or entry.flags & PRESENCE)
        return some_bytes(buffer, p + 1, end, entry, number, packed)
    if entry.type == DOUBLE:
        return real(buffer, p, end, entry, number, packed)
    if entry.type != BOOL:
        return whole(buffer, p, end, entry, number, packed)
    after = literal_end(p, end, b"true", 4)
    if after is not NULL:
        put(buffer, entry, number, 1, packed)
        return after
    put(buffer, entry, number, 0, packed)
    return literal_end(p, end, b"false", 5)


cdef const uint8_t *text(
    Buffer *buffer, const uint8_t *p, const uint8_t *end, int number, bint always
) noexcept:
    cdef bint is_ascii, is_plain
    cdef const uint8_t *stop = plain_end(p, end, &is_ascii)
    cdef Py_ssize_t size, made
    cdef int lead
    if stop == end:
        return NULL
    is_plain = stop[0] == 0x22
    if not is_plain:
        stop = string_end(p, end)
        if stop is NULL:
            return NULL
        stop -= 1
    elif not is_ascii and not utf8(p, stop - p):
        return NULL
    size = stop - p
    if size > TEXT or reserve(buffer, size + LEAD) != 0:
        return NULL
    if not size and not always:
        return stop + 1
    put_tag(buffer, number, 2)
    lead = put_varint(buffer, size)
    if is_plain:
        memcpy(buffer.out + buffer.used, p, size)
        buffer.used += size
        return stop + 1
    made = unescaped(p, stop, buffer.out + buffer.used)
    if made < 0:
        return NULL
    memmove(buffer.out + buffer.used - lead + width(made), buffer.out + buffer.used, made)
    buffer.used -= lead
    put_varint(buffer, made)
    buffer.used += made
    return stop + 1


cdef const uint8_t *some_bytes(
    Buffer *buffer, const uint8_t *p, const uint8_t *end, const Entry *entry, int number, bint always
) noexcept:
    """An id in hex, anything else in base64; decoded LEAD bytes behind its place, then moved."""
    cdef bint is_ascii
    cdef const uint8_t *stop = plain_end(p, end, &is_ascii)
    cdef Py_ssize_t made
    cdef uint8_t *out
    if stop == end or stop[0] != 0x22 or stop - p > TEXT or reserve(buffer, stop - p + LEAD) != 0:
        return NULL
    out = buffer.out + buffer.used + LEAD
    if entry.flags & (TRACE | SPAN | PARENT):
        made = hex_of(p, stop, out)
    else:
        made = base64_of(p, stop, out)
    if made < 0:
        return NULL
    if made or always or entry.flags & PRESENCE:
        put_tag(buffer, number, 2)
        put_varint(buffer, made)
        memmove(buffer.out + buffer.used, out, made)
        buffer.used += made
    return stop + 1


cdef const uint8_t *whole(
    Buffer *buffer, const uint8_t *p, const uint8_t *end, const Entry *entry, int number, bint packed
) noexcept:
    """An integer, as a number or as a text."""
    cdef bint is_negative, is_text = p[0] == 0x22
    cdef uint64_t size = 0
    cdef const uint8_t *stop = whole_of(p + is_text, end, &is_negative, &size)
    if stop is NULL or stop == end or size > largest(entry.type, is_negative):
        return NULL
    if is_text:
        if stop[0] != 0x22:
            return NULL
        stop += 1
    elif stop[0] == 0x2E or (stop[0] | 0x20) == 0x65:
        return NULL  # a fraction or exponent: which may be an integer all the same
    put(buffer, entry, number, 0 - size if is_negative else size, packed)
    return stop


cdef const uint8_t *real(
    Buffer *buffer, const uint8_t *p, const uint8_t *end, const Entry *entry, int number, bint packed
) noexcept:
    cdef double value = 0.0
    cdef uint64_t bits
    p = real_of(p, end, &value)
    if p is not NULL:
        memcpy(&bits, &value, 8)
        put(buffer, entry, number, bits, packed)
    return p


cdef inline void put(
    Buffer *buffer, const Entry *entry, int number, uint64_t bits, bint packed
) noexcept:
    if not packed:
        if not bits and not entry.flags & PRESENCE:
            return
        put_tag(buffer, number, wire_of(entry.type))
    put_number(buffer, entry.type, bits)
