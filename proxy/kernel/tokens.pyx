"""Small things in heads: methods, paths, numbers.

Bounds: a method is compared in words of the 16 bytes that its caller knows to be there; everything
else is read up to a given end.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.string cimport memcpy, memset

cdef extern from "vectors.h":
    uint64_t word(const uint8_t* p) noexcept nogil
    const uint8_t* skip_value(const uint8_t* p, const uint8_t* end) noexcept nogil
    uint64_t lowest(uint64_t w, int bytes) noexcept nogil

cdef extern from *:
    bint PyUnicode_IS_COMPACT_ASCII(str text)

cdef enum:
    LONGEST_METHOD = 16
    MOST_METHODS = 64
    MOST_DIGITS = 19  # below 2**64 in every reader
    INSIDE = 1  # characters of a path; the others must not follow a slash
    DOT = 2
    SLASH = 4

cdef struct Method:
    uint64_t first, second  # its letters, and zeros
    uint32_t size

cdef Method METHODS[MOST_METHODS]
cdef int known = 0
cdef tuple NAMES = ()
cdef uint8_t IN_PATH[256]

memset(IN_PATH, 0, sizeof(IN_PATH))
for _c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_~!$&'()*+,;=:@-":
    IN_PATH[<int>ord(_c)] = INSIDE
IN_PATH[46], IN_PATH[47] = DOT, SLASH


def know_methods(tuple names):
    """The methods whose requests have an ordinary target, most frequent first."""
    global NAMES, known
    cdef uint8_t padded[LONGEST_METHOD]
    cdef bytes letters
    assert len(names) <= MOST_METHODS
    for place, name in enumerate(names):
        letters = name.encode("ascii")
        assert len(letters) < LONGEST_METHOD
        memset(padded, 0, LONGEST_METHOD)
        memcpy(padded, <const char*>letters, len(letters))
        METHODS[<int>place].first = word(padded)
        METHODS[<int>place].second = word(padded + 8)
        METHODS[<int>place].size = len(letters)
    NAMES = names
    known = len(names)


cdef str method_at(const uint8_t* p, uint32_t* size):
    """The method at `p`, where 16 bytes are, and a space behind it; None: it is another."""
    cdef uint32_t i = 0
    cdef uint64_t first, second
    cdef int k
    while i < LONGEST_METHOD - 1 and p[i] != 32:
        i += 1
    first = lowest(word(p), i) if i < 8 else word(p)
    second = lowest(word(p + 8), i - 8) if i > 8 else 0
    for k in range(known):
        if METHODS[k].first == first and METHODS[k].second == second and METHODS[k].size == i:
            size[0] = i
            return <str>NAMES[k] if p[i] == 32 else None
    return None


cdef const uint8_t* skip_path(
    const uint8_t* p, const uint8_t* end, bint* is_usual
) noexcept nogil:
    """The first byte from `p`, a slash, on that is none of a usual path's; whether that is one.

    Usual is "/", and segments of characters that stand for themselves and begin with no dot, each
    behind a slash; one more slash may follow.
    """
    is_usual[0] = True
    while True:
        p += 1
        if p < end and IN_PATH[p[0]] > INSIDE:  # a dot or a slash behind a slash
            is_usual[0] = False
        while p < end and IN_PATH[p[0]] & (INSIDE | DOT):
            p += 1
        if p >= end or IN_PATH[p[0]] != SLASH:
            return p


cpdef bint is_ordinary(str path):
    """Whether a path is in normal form, and usual."""
    cdef const uint8_t* p
    cdef const uint8_t* end
    cdef bint is_usual
    if not PyUnicode_IS_COMPACT_ASCII(path):
        return False
    p = <const uint8_t*>PyUnicode_DATA(path)
    end = p + PyUnicode_GET_LENGTH(path)
    return p < end and p[0] == 47 and skip_path(p, end, &is_usual) == end and is_usual


cpdef bint is_value(bytes text):
    """Whether all of it may stand in a field's value."""
    cdef const uint8_t* p = text
    cdef const uint8_t* end = p + PyBytes_GET_SIZE(text)
    return skip_value(p, end) == end


cpdef object decimal(bytes value):
    """The number that 1 to 19 digits and nothing else say; None if they do not."""
    cdef const uint8_t* p = value
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value), i
    cdef uint64_t found = 0  # 19 digits are less than 2**64
    if not 0 < size <= MOST_DIGITS:
        return None
    for i in range(size):
        if p[i] < 48 or p[i] > 57:
            return None
        found = 10 * found + p[i] - 48
    return found
