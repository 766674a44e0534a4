"""The chunked transfer coding in C: one pass over the framing, and no object for each chunk.

The rules are those of `chunks.py`, its twin. Bounds: what is read lies between `p` and `p + end`,
the bytes of `data`, which is held for as long as a call lasts; pieces are offsets into it, and what
is put together from them has the size that was summed up before.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy

cdef enum:
    SIZE = 0
    DATA = 1
    DATA_END = 2
    TRAILER = 3
    DONE = 4
    MOST_EXTENSION = 256
    MOST_PADDED = 4096
    MOST_EXTENSIONS = 16384
    MOST_TRAILERS = 8192
    MOST_FIELDS = 64
    MOST_LINES = 2048
    TINY_COUNT = 4
    MOST_RUN = 4096  # tiny chunks that are taken at once
    SMALL = 4096
    FEW = 64  # pieces that a call has room for without asking for more

cdef uint8_t DIGIT[256]    # the value of a hexadecimal digit, 255 = none
cdef uint8_t IS_TOKEN[256]  # of a field name

cdef void fill_tables() noexcept:
    cdef int i
    cdef const char* others = b"!#$%&'*+.^_`|~-"
    for i in range(256):
        DIGIT[i] = 255
        IS_TOKEN[i] = 0
    for i in range(10):
        DIGIT[48 + i] = i
    for i in range(6):
        DIGIT[65 + i] = DIGIT[97 + i] = 10 + i
    for i in range(26):
        IS_TOKEN[65 + i] = IS_TOKEN[97 + i] = 1
    for i in range(10):
        IS_TOKEN[48 + i] = 1
    for i in range(15):
        IS_TOKEN[<uint8_t>others[i]] = 1

fill_tables()


class ChunkedError(ValueError):
    """The bytes are not a chunked body; whose fault that is, the caller knows."""


cdef struct Piece:
    Py_ssize_t start, size
    bint goes_on  # it belongs to the piece before it

cdef struct Pieces:
    Piece* at
    Py_ssize_t count, room
    Py_ssize_t whole  # those that belong to none before them
    Piece few[FEW]


cdef int add(Pieces* pieces, Py_ssize_t start, Py_ssize_t size, bint goes_on) except -1:
    cdef Piece* more
    if pieces.count == pieces.room:
        more = <Piece*>malloc(2 * pieces.room * sizeof(Piece))
        if more is NULL:
            raise MemoryError
        memcpy(more, pieces.at, pieces.count * sizeof(Piece))
        if pieces.at is not pieces.few:
            free(pieces.at)
        pieces.at = more
        pieces.room *= 2
    pieces.at[pieces.count] = Piece(start, size, goes_on)
    pieces.count += 1
    pieces.whole += not goes_on
    return 0


cdef bytes joined(const uint8_t* p, const Piece* first, const Piece* end):
    """The pieces from `first` up to `end` as one."""
    cdef const Piece* piece = first
    cdef Py_ssize_t size = 0
    while piece < end:
        size += piece.size
        piece += 1
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size)
    cdef char* o = PyBytes_AS_STRING(made)
    piece = first
    while piece < end:
        memcpy(o, p + piece.start, piece.size)
        o += piece.size
        piece += 1
    return made


cdef bytes behind(bytes data, Py_ssize_t at):
    """`data[at:]`, which costs 500 instructions; `at` lies in it or at its end."""
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + at, PyBytes_GET_SIZE(data) - at)


cdef int hand_over(list out, bytes data, Pieces* pieces) except -1:
    """Small pieces as one, others each as what it is."""
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef const Piece* piece = pieces.at
    cdef const Piece* end = piece + pieces.count
    cdef const Piece* next
    if pieces.whole > 1 and size < pieces.whole * SMALL:
        out.append(joined(p, piece, end))
        return 0
    while piece < end:
        next = piece + 1
        while next < end and next.goes_on:
            next += 1
        out.append(data if piece.size == size else joined(p, piece, next))
        piece = next
    return 0


cdef inline Py_ssize_t find_line_end(const uint8_t* p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Where the next CRLF begins; -1 if there is none."""
    cdef const uint8_t* found
    if at + 1 < end and p[at] == 13 and p[at + 1] == 10:  # what ends a chunk, at once
        return at
    while at + 1 < end:
        found = <const uint8_t*>memchr(p + at, 13, end - 1 - at)
        if found is NULL:
            return -1
        at = found - p + 1
        if p[at] == 10:
            return at - 1
    return -1


cdef inline Py_ssize_t tiny_end(const uint8_t* p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Where a whole chunk of 1 to 15 bytes with nothing but its size ends; -1 = there is none."""
    cdef Py_ssize_t size
    if at + 3 > end or p[at + 1] != 13 or p[at + 2] != 10:
        return -1
    size = DIGIT[p[at]]
    if size == 255 or size == 0 or at + 5 + size > end:
        return -1
    if p[at + 3 + size] != 13 or p[at + 4 + size] != 10:
        return -1
    return at + 5 + size


cdef inline bint is_value(const uint8_t* p, Py_ssize_t size) noexcept nogil:
    """Whether all of it may stand in a field value or an extension."""
    cdef Py_ssize_t i
    for i in range(size):
        if (p[i] < 32 and p[i] != 9) or p[i] == 127:
            return False
    return True


cdef inline bint is_blank(uint8_t c) noexcept nogil:
    return c == 32 or c == 9


cdef class ChunkedDecoder:
    """Feed it wire bytes; it returns the content in them."""

    def __init__(self, bint padded=False):
        self._state = SIZE
        self._padded = padded
        self._line = b""
        self.trailers = []
        self.rest = b""

    cpdef list feed(self, bytes data):
        """The content in `data`, as pieces in order, none of them empty. Raises ChunkedError."""
        cdef Pieces pieces
        cdef list out = []
        cdef Py_ssize_t at
        if data is None:
            raise TypeError("bytes are required")
        if PyBytes_GET_SIZE(self._line):
            data = self._line + data
            self._line = b""
        self.has_more = False
        pieces.at = pieces.few
        pieces.room, pieces.count, pieces.whole = FEW, 0, 0
        try:
            at = walk(self, data, &pieces)
            hand_over(out, data, &pieces)
        finally:
            if pieces.at is not pieces.few:
                free(pieces.at)
        if self._state == DONE:
            self.done = True
            self.rest = behind(data, at)
        elif at < PyBytes_GET_SIZE(data):
            self._line = behind(data, at)
            self.has_more = True
        return out

    cdef int _keep(self, const uint8_t* part, Py_ssize_t size) except -1:
        """Remember the beginning of a line, unless it can no longer become a good one."""
        cdef Py_ssize_t body = size
        if body and part[body - 1] == 13:
            body -= 1
        if memchr(part, 10, body) is not NULL or memchr(part, 13, body) is not NULL:
            raise ChunkedError("a bare CR or LF in the chunked framing")
        if self._state == DATA_END and body:
            raise ChunkedError("a chunk is longer than its size")
        cdef Py_ssize_t line = body
        if self._state == SIZE and body:
            if memchr(part, 59, body) is NULL:  # blanks behind a size may come before a semicolon
                while line and is_blank(part[line - 1]):
                    line -= 1
            self._check_size(part, line, body)
        elif body > MOST_TRAILERS:
            raise ChunkedError("trailers that are too long")
        self._line = PyBytes_FromStringAndSize(<const char*>part, size)
        return 0

    cdef int _take_line(self, const uint8_t* line, Py_ssize_t size) except -1:
        if self._state == SIZE:
            return self._take_size(line, size)
        if self._state == DATA_END:
            if size:
                raise ChunkedError("a chunk is longer than its size")
            self._state = SIZE
            return 0
        return self._take_trailer(line, size)

    cdef Py_ssize_t _check_size(
        self, const uint8_t* line, Py_ssize_t size, Py_ssize_t length
    ) except -1:
        """How many digits a size line has that is `length` bytes long until now."""
        cdef Py_ssize_t digits = 0, at, extension
        while digits < size and digits < 17 and DIGIT[line[digits]] != 255:
            digits += 1
        at = digits
        while at < size and is_blank(line[at]):
            at += 1
        if digits == 0 or digits > 16 or not (
            (at == size and (self._padded or at == digits))
            or (at < size and line[at] == 59 and is_value(line + at, size - at))
        ):
            raise ChunkedError("a chunk size that is not a hexadecimal number")
        extension = length - digits
        if (
            extension > (MOST_PADDED if self._padded else MOST_EXTENSION)
            or self._extensions + extension > MOST_EXTENSIONS
        ):
            raise ChunkedError("too many bytes of chunk extensions")
        return digits

    cdef int _take_size(self, const uint8_t* line, Py_ssize_t size) except -1:
        cdef Py_ssize_t digits = self._check_size(line, size, size)
        cdef Py_ssize_t extension = size - digits, i
        cdef uint64_t left = 0
        for i in range(digits):  # 16 of them at most
            left = left << 4 | DIGIT[line[i]]
        self._left = left
        if extension:
            self._extensions += extension
            if self._padded:
                # What is spared is at least all there is where a chunk is larger than the most.
                if left > MOST_EXTENSIONS:
                    self._extensions = 0
                else:
                    self._extensions = max(self._extensions - 16 - 2 * <Py_ssize_t>left, 0)
        self._state = DATA if left else TRAILER
        return 0

    cdef int _take_trailer(self, const uint8_t* line, Py_ssize_t size) except -1:
        cdef Py_ssize_t name = 0, start, end = size
        if size == 0:
            self._state = DONE
            return 0
        self._size += size
        if self._size > MOST_TRAILERS or len(self.trailers) >= MOST_FIELDS:
            raise ChunkedError("too many trailers")
        while name < size and IS_TOKEN[line[name]]:
            name += 1
        if name == 0 or name == size or line[name] != 58 or not is_value(line + name, size - name):
            raise ChunkedError("a trailer that is no header field")
        start = name + 1
        while start < end and is_blank(line[start]):
            start += 1
        while end > start and is_blank(line[end - 1]):
            end -= 1
        self.trailers.append((
            PyBytes_FromStringAndSize(<const char*>line, name),
            PyBytes_FromStringAndSize(<const char*>line + start, end - start),
        ))
        return 0


cdef Py_ssize_t walk(ChunkedDecoder decoder, bytes data, Pieces* pieces) except -1:
    """Take lines and data until one of them ends, or the call has done enough; where it stopped."""
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t at = 0, end = PyBytes_GET_SIZE(data), found, size
    decoder._budget = MOST_LINES
    while at < end and decoder._state != DONE and decoder._budget > 0:
        if decoder._state == SIZE:
            found = take_run(decoder, p, at, end, pieces)
            if found > at:
                at = found
                continue
        elif decoder._state == DATA:
            size = end - at
            if decoder._left < <uint64_t>size:
                size = <Py_ssize_t>decoder._left
            add(pieces, at, size, False)
            at += size
            decoder._left -= size
            if decoder._left == 0:
                decoder._state = DATA_END
            continue
        found = find_line_end(p, at, end)
        if found < 0:
            decoder._keep(p + at, end - at)
            return end
        decoder._take_line(p + at, found - at)
        at = found + 2
        decoder._budget -= 1
    return at


cdef Py_ssize_t take_run(
    ChunkedDecoder decoder, const uint8_t* p, Py_ssize_t at, Py_ssize_t end, Pieces* pieces
) except -1:
    """Take the tiny chunks that stand there, as one piece; where they end."""
    cdef Py_ssize_t count = 0, next
    while count < MOST_RUN:
        next = tiny_end(p, at, end)
        if next < 0:
            break
        add(pieces, at + 3, next - at - 5, count > 0)
        at = next
        count += 1
    if count:
        decoder._budget -= 1 + count // TINY_COUNT
    return at
