"""Words of JSON: where each ends, and what it is. NULL or -1 = none, or one that is not ordinary.

Reads are of [p, end), each behind a comparison with `end`. What is written to `out` never has more
bytes than what is read.
"""

from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from libc.string cimport memcmp, memcpy

from proxy.kernel.wire cimport utf8

cdef extern from "Python.h":
    double string_to_double "PyOS_string_to_double"(
        const char *text, char **end, void *overflow
    ) noexcept

cdef enum:
    BLANKS = 16 * 1024
    DIGITS = 19  # that fit 64 bits, whatever they are
    EXACT = 15  # that fit a double
    LONGEST = 63  # bytes of a number

cdef uint64_t MOST = 0xFFFFFFFFFFFFFFFF
cdef uint64_t ONES = 0x0101010101010101
cdef uint64_t HIGHS = 0x8080808080808080
cdef double[23] POWERS  # of ten that are doubles
cdef int _power
POWERS[0] = 1.0
for _power in range(1, 23):
    POWERS[_power] = POWERS[_power - 1] * 10.0


cdef const uint8_t *blanks(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Behind them; nobody writes more than BLANKS of them, and then one is what comes."""
    if end - p > BLANKS:
        end = p + BLANKS
    while p < end and (p[0] == 32 or p[0] == 10 or p[0] == 13 or p[0] == 9):
        p += 1
    return p


cdef const uint8_t *literal_end(
    const uint8_t *p, const uint8_t *end, const char *word, int size
) noexcept nogil:
    return p + size if end - p >= size and memcmp(p, word, size) == 0 else NULL


cdef const uint8_t *plain_end(const uint8_t *p, const uint8_t *end, bint *is_ascii) noexcept nogil:
    """The first byte of a text that is a quotation mark, a backslash or a control; else `end`."""
    cdef uint64_t eight, quote, slash
    is_ascii[0] = True
    while p < end:
        if end - p >= 8:  # eight at once, while none of them is special
            memcpy(&eight, p, 8)
            quote = eight ^ (ONES * 0x22)
            slash = eight ^ (ONES * 0x5C)
            quote = ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash)
            quote |= (eight - ONES * 0x20) & ~eight
            if not (quote | eight) & HIGHS:
                p += 8
                continue
        if p[0] == 0x22 or p[0] == 0x5C or p[0] < 0x20:
            return p
        if p[0] >= 0x80:
            is_ascii[0] = False
        p += 1
    return end


cdef const uint8_t *string_end(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Behind the closing quotation mark of a text that nobody wants; p is behind the first one."""
    cdef const uint8_t *begin = p
    cdef bint is_ascii, all_ascii = True
    cdef int digit
    while True:
        p = plain_end(p, end, &is_ascii)
        all_ascii = all_ascii and is_ascii
        if p == end or p[0] < 0x20:
            return NULL
        if p[0] == 0x22:
            return p + 1 if all_ascii or utf8(begin, p - begin) else NULL
        if end - p < 2:
            return NULL
        if p[1] == 0x75:  # u
            if end - p < 6:
                return NULL
            for digit in range(2, 6):
                if hexed(p[digit]) < 0:
                    return NULL
            p += 6
        elif escape(p[1]):
            p += 2
        else:
            return NULL


cdef inline uint8_t escape(uint8_t letter) noexcept nogil:
    """What a backslash and that letter mean; 0 = nothing."""
    if letter == 0x22 or letter == 0x5C or letter == 0x2F:
        return letter
    if letter == 0x6E:
        return 10
    if letter == 0x74:
        return 9
    if letter == 0x72:
        return 13
    if letter == 0x62:
        return 8
    return 12 if letter == 0x66 else 0


cdef inline int hexed(uint8_t letter) noexcept nogil:
    if 0x30 <= letter <= 0x39:
        return letter - 0x30
    letter |= 0x20
    return letter - 0x57 if 0x61 <= letter <= 0x66 else -1


cdef int unit(const uint8_t *p) noexcept nogil:
    """What four hex digits say; -1 = they are none."""
    cdef int first = hexed(p[0]), second = hexed(p[1]), third = hexed(p[2]), last = hexed(p[3])
    if (first | second | third | last) < 0:
        return -1
    return first << 12 | second << 8 | third << 4 | last


cdef Py_ssize_t unescaped(const uint8_t *p, const uint8_t *end, uint8_t *out) noexcept nogil:
    """The bytes of a text without its quotation marks. An escape of six bytes makes at most three,
    a pair of them four; so `out` is never ahead of `p`."""
    cdef uint8_t *begin = out
    cdef int code, low
    while p < end:
        if p[0] != 0x5C:
            out[0] = p[0]
            out += 1
            p += 1
            continue
        if end - p < 2:
            return -1
        if p[1] != 0x75:
            out[0] = escape(p[1])
            if not out[0]:
                return -1
            out += 1
            p += 2
            continue
        code = unit(p + 2) if end - p >= 6 else -1
        if code < 0 or 0xDC00 <= code <= 0xDFFF:
            return -1
        p += 6
        if 0xD800 <= code < 0xDC00:
            if end - p < 6 or p[0] != 0x5C or p[1] != 0x75:
                return -1
            low = unit(p + 2)
            if not 0xDC00 <= low <= 0xDFFF:
                return -1
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            p += 6
        out += encoded(code, out)
    return out - begin


cdef int encoded(int code, uint8_t *out) noexcept nogil:
    """One character in UTF-8: how many bytes."""
    if code < 0x80:
        out[0] = code
        return 1
    if code < 0x800:
        out[0] = 0xC0 | code >> 6
        out[1] = 0x80 | code & 0x3F
        return 2
    if code < 0x10000:
        out[0] = 0xE0 | code >> 12
        out[1] = 0x80 | code >> 6 & 0x3F
        out[2] = 0x80 | code & 0x3F
        return 3
    out[0] = 0xF0 | code >> 18
    out[1] = 0x80 | code >> 12 & 0x3F
    out[2] = 0x80 | code >> 6 & 0x3F
    out[3] = 0x80 | code & 0x3F
    return 4


cdef inline const uint8_t *digits(const uint8_t *p, const uint8_t *end) noexcept nogil:
    while p < end and 0x30 <= p[0] <= 0x39:
        p += 1
    return p


cdef const uint8_t *number_end(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Where a number ends (RFC 8259 §6), of at most LONGEST bytes."""
    cdef const uint8_t *begin = p
    cdef const uint8_t *after
    if p < end and p[0] == 0x2D:
        p += 1
    after = digits(p, end)
    if after == p or (p[0] == 0x30 and after - p > 1):
        return NULL
    p = after
    if p < end and p[0] == 0x2E:
        after = digits(p + 1, end)
        if after == p + 1:
            return NULL
        p = after
    if p < end and (p[0] | 0x20) == 0x65:
        p += 1
        if p < end and (p[0] == 0x2B or p[0] == 0x2D):
            p += 1
        after = digits(p, end)
        if after == p:
            return NULL
        p = after
    return p if p - begin <= LONGEST else NULL


cdef const uint8_t *whole_of(
    const uint8_t *p, const uint8_t *end, bint *is_negative, uint64_t *size
) noexcept nogil:
    """Behind an integer of at most 64 bits without anything before or behind its digits."""
    cdef const uint8_t *first
    cdef uint64_t value = 0, digit
    is_negative[0] = p < end and p[0] == 0x2D
    if is_negative[0]:
        p += 1
    first = p
    while p < end and 0x30 <= p[0] <= 0x39:
        digit = p[0] - 0x30
        if p - first >= DIGITS and (p - first > DIGITS or value > (MOST - digit) // 10):
            return NULL
        value = value * 10 + digit
        p += 1
    if p == first or (first[0] == 0x30 and (p - first > 1 or is_negative[0])):
        return NULL
    size[0] = value
    return p


cdef const uint8_t *real_of(const uint8_t *p, const uint8_t *end, double *value) noexcept:
    """Behind a number that is to be a double, and what it is, as Python's float() would say."""
    cdef const uint8_t *after = number_end(p, end)
    cdef const uint8_t *at = p
    cdef char text[LONGEST + 1]
    cdef uint64_t size = 0
    cdef int count = 0, behind = -1
    if after is NULL:
        return NULL
    if at[0] == 0x2D:
        at += 1
    while at < after and count <= EXACT:
        if at[0] == 0x2E:
            behind = 0
        elif 0x30 <= at[0] <= 0x39:
            size = size * 10 + (at[0] - 0x30)
            count += 1
            behind += behind >= 0
        else:
            break
        at += 1
    if behind < 0 and p[0] == 0x2D and not size:
        return NULL  # -0, which is no float
    if at == after and count <= EXACT:  # both are exact, so the quotient is rounded as it should be
        value[0] = <double>size / POWERS[behind if behind > 0 else 0]
        if p[0] == 0x2D:
            value[0] = -value[0]
        return after
    memcpy(text, p, after - p)
    text[after - p] = 0
    value[0] = string_to_double(text, NULL, NULL)
    if value[0] == -1.0 and PyErr_Occurred() is not NULL:
        PyErr_Clear()
        return NULL
    return after


cdef Py_ssize_t hex_of(const uint8_t *p, const uint8_t *end, uint8_t *out) noexcept nogil:
    """The bytes of an id."""
    cdef Py_ssize_t size = (end - p) // 2, at
    cdef int high, low
    if (end - p) % 2:
        return -1
    for at in range(size):
        high, low = hexed(p[2 * at]), hexed(p[2 * at + 1])
        if (high | low) < 0:
            return -1
        out[at] = high << 4 | low
    return size


cdef inline int six(uint8_t letter) noexcept nogil:
    if 0x41 <= letter <= 0x5A:
        return letter - 0x41
    if 0x61 <= letter <= 0x7A:
        return letter - 0x47
    if 0x30 <= letter <= 0x39:
        return letter + 4
    return 62 if letter == 0x2B else 63 if letter == 0x2F else -1


cdef Py_ssize_t base64_of(const uint8_t *p, const uint8_t *end, uint8_t *out) noexcept nogil:
    """RFC 4648 §4, with padding."""
    cdef uint8_t *begin = out
    cdef int first, second, third, last
    if (end - p) % 4:
        return -1
    while p < end:
        first, second, third, last = six(p[0]), six(p[1]), six(p[2]), six(p[3])
        if end - p == 4 and p[3] == 0x3D:
            last = 0
            if p[2] == 0x3D:
                third = 0
            if (second & 15 if p[2] == 0x3D else third & 3) != 0:
                return -1
        if (first | second | third | last) < 0:
            return -1
        out[0] = first << 2 | second >> 4
        out[1] = (second & 15) << 4 | third >> 2
        out[2] = (third & 3) << 6 | last
        out += 3 - (p[2] == 0x3D) - (p[3] == 0x3D)
        p += 4
    return out - begin
