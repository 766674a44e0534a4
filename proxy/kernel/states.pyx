"""The grammar of a `tracestate`, in C. The rules are those of `states.py`, its twin.

One pass; what is read is p[0:n], the bytes of `state`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

cdef extern from "<string.h>" nogil:
    void* memmem(const void* data, size_t size, const void* part, size_t part_size)

MAX_MEMBERS = 32

cdef enum:
    MOST = 32
    LONGEST = 256  # bytes of a key, and of a value
    FIRST = 1  # what a byte may be: the first of a key,
    LATER = 2  # another one of a key,
    VALUE = 4  # one of a value

cdef uint8_t KINDS[256]

cdef void fill_kinds() noexcept:
    cdef int c
    for c in range(256):
        KINDS[c] = 0
        if 97 <= c <= 122 or 48 <= c <= 57:
            KINDS[c] = FIRST | LATER
        if c == c"_" or c == c"-" or c == c"*" or c == c"/" or c == c"@":
            KINDS[c] = LATER
        if 32 <= c <= 126 and c != c"," and c != c"=":
            KINDS[c] |= VALUE

fill_kinds()


cdef Py_ssize_t member_end(const uint8_t* p, Py_ssize_t at, Py_ssize_t n) noexcept nogil:
    """Where the comma behind the member at `at` is, or `n`; -1 if that is no member."""
    cdef Py_ssize_t start = at, last = -1
    if at == n or not KINDS[p[at]] & FIRST:
        return -1
    while at < n and KINDS[p[at]] & LATER:
        at += 1
    if at == n or p[at] != c"=" or at - start > LONGEST:
        return -1
    start = at = at + 1
    while at < n and KINDS[p[at]] & VALUE:
        if p[at] != c" ":
            last = at
        at += 1
    if last < 0 or last - start >= LONGEST:
        return -1
    while at < n and (p[at] == c" " or p[at] == 9):
        at += 1
    if at < n:
        return at if p[at] == c"," else -1
    return n if last == n - 1 else -1  # white space at the end is not the last member's


cpdef int plain_members(bytes state) except -1:
    cdef const uint8_t* p
    cdef Py_ssize_t at = 0, n
    cdef int count = 0
    if state is None:
        raise TypeError("bytes are required")
    p, n = <const uint8_t*>PyBytes_AS_STRING(state), PyBytes_GET_SIZE(state)
    while count < MOST:
        at = member_end(p, at, n)
        if at < 0:
            return 0
        count += 1
        if at == n:
            return count
        at += 1
        while at < n and (p[at] == c" " or p[at] == 9):
            at += 1
    return 0


cpdef bint mentions(bytes state, bytes word) except -1:
    if state is None or word is None:
        raise TypeError("bytes are required")
    return memmem(
        PyBytes_AS_STRING(state), PyBytes_GET_SIZE(state),
        PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word),
    ) is not NULL
