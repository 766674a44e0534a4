"""Lines: the same line, written into the pen's memory at once. The rules are in lines.py."""

from datetime import UTC, datetime

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, strlen

from proxy.kernel.pen cimport Pen, copy, is_ascii, room

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    void* PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

cdef enum:
    MOST = 4096  # TEXT_LIMIT
    WIDEST = 20  # characters of a whole number

# What stands for a character: itself, the letter behind a backslash, or 1 = by its number.
cdef unsigned char[128] ESCAPES
cdef int _c
for _c in range(128):
    ESCAPES[_c] = 0 if 0x20 <= _c < 0x7F else 1
for _c, _letter in ((8, "b"), (9, "t"), (10, "n"), (12, "f"), (13, "r"), (34, '"'), (92, "\\")):
    ESCAPES[_c] = ord(_letter)
cdef long long EXACT = 1 << 50  # ns, 13 days: see _milliseconds()
cdef const char* HEX = b"0123456789abcdef"


cdef char* by_number(char* to, unsigned int unit) noexcept nogil:
    """6 bytes."""
    to[0], to[1] = 92, 117
    to[2], to[3] = HEX[unit >> 12 & 15], HEX[unit >> 8 & 15]
    to[4], to[5] = HEX[unit >> 4 & 15], HEX[unit & 15]
    return to + 6


cdef inline char* escaped(char* to, unsigned int character) noexcept nogil:
    """At most 12 bytes."""
    cdef unsigned char escape = ESCAPES[character] if character < 128 else 1
    if escape == 0:
        to[0] = <char>character
        return to + 1
    if escape > 1:
        to[0], to[1] = 92, <char>escape
        return to + 2
    if character < 0x10000:
        return by_number(to, character)
    character -= 0x10000
    return by_number(by_number(to, 0xD800 | character >> 10), 0xDC00 | character & 0x3FF)


cdef inline bint is_plain(const char* value) noexcept nogil:
    """Whether 8 characters stand for themselves: from 0x20 to 0x7e, no quote, no backslash.

    A byte's high bit is set in what is subtracted where the byte is less than 0x20, or 0 after the
    exclusive or; and, as a borrow may set another one too, what is plain may be said not to be.
    """
    cdef uint64_t word
    memcpy(&word, value, 8)
    return not ((
        (word - <uint64_t>0x2020202020202020ULL)
        | ((word ^ <uint64_t>0x2222222222222222ULL) - <uint64_t>0x0101010101010101ULL)
        | ((word ^ <uint64_t>0x5C5C5C5C5C5C5C5CULL) - <uint64_t>0x0101010101010101ULL)
        | (word + <uint64_t>0x0101010101010101ULL)
        | word
    ) & <uint64_t>0x8080808080808080ULL)


cdef int put_ascii(Pen pen, const char* value, Py_ssize_t size) except -1:
    """In quotes; at most 6 bytes for each, and these two."""
    cdef char* begun = room(pen, size * 6 + 2)
    cdef char* to = begun + 1
    cdef Py_ssize_t at = 0
    cdef unsigned char escape
    begun[0] = 34
    while at < size:
        if at + 8 <= size and is_plain(value + at):
            memcpy(to, value + at, 8)
            to += 8
            at += 8
            continue
        escape = ESCAPES[<unsigned char>value[at] & 127]
        if escape == 0:
            to[0] = value[at]
            to += 1
        else:
            to = escaped(to, <unsigned char>value[at])
        at += 1
    to[0] = 34
    pen._used += to + 1 - begun
    return 0


cdef int put_quoted(Pen pen, object value) except -1:
    cdef Py_ssize_t size
    cdef str said
    cdef const char* raw = pen.utf8(value, &size)
    cdef char* begun
    cdef char* to
    if is_ascii(raw, size):
        return put_ascii(pen, raw, size)
    said = raw[:size].decode("utf-8")
    begun = room(pen, len(said) * 12 + 2)
    to = begun + 1
    begun[0] = 34
    for character in said:
        to = escaped(to, character)
    to[0] = 34
    pen._used += to + 1 - begun
    return 0


cdef int put_number(Pen pen, long long number) except -1:
    """At most WIDEST bytes."""
    cdef char[WIDEST] digits
    cdef int at = WIDEST
    cdef uint64_t rest = <uint64_t>number if number >= 0 else <uint64_t>0 - <uint64_t>number
    while True:
        at -= 1
        digits[at] = <char>(48 + rest % 10)
        rest //= 10
        if not rest:
            break
    if number < 0:
        at -= 1
        digits[at] = 45
    return copy(pen, digits + at, WIDEST - at)


cdef inline int put(Pen pen, const char* member) except -1:
    return copy(pen, member, strlen(member))


cpdef str quote(object value):
    cdef Pen pen = Pen()
    put_quoted(pen, value)
    return pen.take().decode("ascii")


cdef class Lines:
    def __init__(self, Pen pen not None):
        self._pen = pen
        self._second = 0
        memcpy(self._shown, b"1970-01-01T00:00:00", 20)

    cpdef begin(self, long long time, str method, str path, str query):
        cdef Pen pen = self._pen
        cdef long long second = time // 1_000_000_000
        cdef int milliseconds
        cdef bytes shown
        cdef char[5] fraction
        if time - second * 1_000_000_000 < 0:  # rounded towards 0: before 1970
            second -= 1
        milliseconds = <int>((time - second * 1_000_000_000) // 1_000_000)
        if second != self._second:
            shown = datetime.fromtimestamp(second, UTC).isoformat()[:19].encode("ascii")
            if len(shown) != 19:
                raise ValueError("no such year")
            memcpy(self._shown, PyBytes_AS_STRING(shown), 19)
            self._second = second
        put(pen, b'{"time":"')
        copy(pen, self._shown, 19)
        fraction[0], fraction[4] = 46, 90
        fraction[1] = <char>(48 + milliseconds // 100)
        fraction[2] = <char>(48 + milliseconds // 10 % 10)
        fraction[3] = <char>(48 + milliseconds % 10)
        copy(pen, fraction, 5)
        put(pen, b'","method":')
        put_quoted(pen, method)
        put(pen, b',"path":')
        put_quoted(pen, path)
        put(pen, b',"query":')
        put_quoted(pen, query)
        put(pen, b",")

    cpdef members(self, str members):
        if not PyUnicode_IS_COMPACT_ASCII(members):
            raise ValueError("not ASCII")
        copy(self._pen, <const char*>PyUnicode_DATA(members), PyUnicode_GET_LENGTH(members))

    cpdef outcome(self, long long took, str upstream, str endpoint, long long attempts):
        put(self._pen, b'"duration_ms":')
        self._milliseconds(took)
        put(self._pen, b',"upstream":')
        put_quoted(self._pen, upstream)
        put(self._pen, b',"endpoint":')
        put_quoted(self._pen, endpoint)
        put(self._pen, b',"attempts":')
        put_number(self._pen, attempts)
        put(self._pen, b",")

    cdef int _milliseconds(self, long long ns) except -1:
        """`%.3f` of ns / 1e6, rounded as the double is.

        Below EXACT a double is nearer to its quotient than any quotient but a tie is to one, so
        that whole numbers round the same; a tie goes where its double lies (one in a thousand).
        """
        cdef char[4] shown
        cdef long long us
        if 0 <= ns < EXACT and ns % 1000 != 500:
            us = (ns + 500) // 1000
            put_number(self._pen, us // 1000)
            shown[0] = 46
            shown[1] = <char>(48 + us // 100 % 10)
            shown[2] = <char>(48 + us // 10 % 10)
            shown[3] = <char>(48 + us % 10)
            return copy(self._pen, shown, 4)
        self._pen.put(b"%.3f" % (ns / 1e6))
        return 0

    cpdef caller(self, long long received, long long sent, str client, str host, bytes agent):
        put(self._pen, b'"bytes_in":')
        put_number(self._pen, received)
        put(self._pen, b',"bytes_out":')
        put_number(self._pen, sent)
        put(self._pen, b',"client":')
        put_quoted(self._pen, client)
        put(self._pen, b',"host":')
        put_quoted(self._pen, host)
        put(self._pen, b',"user_agent":')
        put_quoted(self._pen, agent)
        put(self._pen, b",")

    cpdef end(self, bytes request_id, bytes trace_id, bytes span_id, bint sampled):
        put(self._pen, b'"request_id":')
        put_quoted(self._pen, request_id)
        put(self._pen, b',"trace_id":"')
        self._pen.put(trace_id)
        put(self._pen, b'","span_id":"')
        self._pen.put(span_id)
        put(self._pen, b'","sampled":true}\n' if sampled else b'","sampled":false}\n')
