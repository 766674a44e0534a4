"""OTLP/JSON of the ordinary kind to protobuf, in one pass, in steps of any length.

The twin says what it must be equal to; what is out of the ordinary (a key twice, half a surrogate
pair, an enumeration by its name, a text of megabytes, anything that is refused) is left to it.

Bounds: reads are of [p, end), each behind a comparison with `end`. Whatever writes calls `reserve`
first with the most that it will write: of a text or id no more than it has in JSON, and LEAD for a
tag and a length; of a number LEAD too.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free
from libc.string cimport memcmp, memset

from proxy.kernel.jsonfield cimport TEXT, scalar
from proxy.kernel.jsontext cimport blanks, literal_end, number_end, plain_end, string_end
from proxy.kernel.protowrite cimport LEAD, begin, put_length, put_tag, reserve, width
from proxy.kernel.wire cimport BYTES, MESSAGE, Name, ONEOF, REPEATED, STRING, utf8

cdef enum:
    PIECE = 1024 * 1024  # of the text, whose braces are weighed at once; as there
    WINDOW = 16 * 1024  # half of the one there, so that what is large there is large here
    FREE_VALUES = 16_384  # as there
    FREE_PARTS = 4096  # as in parts
    LEAST = 12


@cython.final
cdef class Reader:
    """One text. `step` until it says 1, then `result`."""

    def __cinit__(self, Schema schema not None, bytes text not None):
        self.schema = schema
        self.text = text
        self.begin = self.p = self.weighed = <const uint8_t *>PyBytes_AS_STRING(text)
        self.end = self.begin + PyBytes_GET_SIZE(text)
        # What becomes much more than its text is not ordinary.
        if begin(&self.buffer, len(text) // 2 + 256, 2 * len(text) + 65536) != 0:
            raise MemoryError
        memset(self.lengths, 1, sizeof(self.lengths))

    def __dealloc__(self):
        free(self.buffer.out)

    def step(self, Py_ssize_t budget):
        """Read so many bytes more: 1 = that was all, 0 = not yet, -1 = it is not ordinary."""
        self.pause = self.p + min(budget, self.end - self.p)
        return self.run()

    def result(self):
        return PyBytes_FromStringAndSize(<char *>self.buffer.out, self.buffer.used)

    cdef int run(self) noexcept:
        cdef Frame *frame
        if not self.has_begun:
            self.has_begun = True
            self.p = blanks(self.p, self.end)
            if self.p == self.end or self.p[0] != b"{":
                return -1
            self.p += 1
            self.open(self.schema.messages, NULL, 0)
        while self.p <= self.pause:
            if self.p >= self.weighed and self.weigh() != 0:
                return -1
            frame = &self.frames[self.depth - 1]
            self.p = blanks(self.p, self.end)
            if self.p == self.end:
                return -1
            if self.p[0] == (0x5D if frame.is_array else 0x7D):  # ] or }
                self.p += 1
                if self.close(frame) != 0:
                    return -1
                if self.depth == 0:
                    return self.over()
                continue
            if frame.is_filled:
                if self.p[0] != b",":
                    return -1
                self.p = blanks(self.p + 1, self.end)
            frame.is_filled = True
            if self.p == self.end or self.counted(frame) != 0:
                return -1
            if frame.is_array:
                if self.value(frame.entry, frame.number, True) != 0:
                    return -1
            elif self.member(frame) != 0:
                return -1
        return 0

    cdef int over(self) noexcept:
        """Nothing may follow."""
        while self.weighed < self.end:
            if self.weigh() != 0:
                return -1
        return 1 if blanks(self.p, self.end) == self.end else -1

    cdef int member(self, Frame *frame) noexcept:
        """A name and its value."""
        cdef const Entry *entry = NULL
        cdef int number = 0
        if self.p[0] != b'"':
            return -1
        self.p += 1
        if frame.message is NULL:
            if self.string() != 0:
                return -1
        elif self.named(frame, &entry, &number) != 0:
            return -1
        self.p = blanks(self.p, self.end)
        if self.p == self.end or self.p[0] != b":":
            return -1
        self.p = blanks(self.p + 1, self.end)
        if self.p == self.end:
            return -1
        if entry is not NULL:
            if frame.seen >> number & 1:
                return -1  # the last one counts
            frame.seen |= <uint32_t>1 << number
            if self.p[0] == b"n":
                return self.literal(b"null", 4)
            if entry.flags & ONEOF:
                if frame.has_one:
                    return -1
                frame.has_one = True
        return self.value(entry, number, False)

    cdef int named(self, Frame *frame, const Entry **entry, int *number) noexcept:
        """Which field that is, NULL for none of them; steps behind the name."""
        cdef const Message *message = frame.message
        cdef const uint8_t *begin = self.p
        cdef const Name *name
        cdef bint is_ascii
        cdef int at = frame.next, tries
        self.p = plain_end(self.p, self.end, &is_ascii)
        if self.p == self.end or self.p[0] != b'"':
            return -1
        for tries in range(message.named):  # in the order in which they mostly come
            if at >= message.named:
                at = 0
            name = &message.names[at]
            at += 1
            if name.size == self.p - begin and memcmp(name.text, begin, name.size) == 0:
                frame.next = at
                number[0] = name.number
                entry[0] = &message.fields[name.number]
                break
        if entry[0] is NULL and not is_ascii and not utf8(begin, self.p - begin):
            return -1
        self.p += 1
        return 0

    cdef int value(self, const Entry *entry, int number, bint in_array) noexcept:
        cdef uint8_t first = self.p[0]
        if entry is NULL:
            return self.skipped()
        if entry.flags & REPEATED and not in_array:
            if first != b"[":
                return -1
            self.p += 1
            return self.open(NULL, entry, number)
        if entry.type == MESSAGE:
            if first != b"{":
                return -1
            self.p += 1
            return self.open(self.schema.messages + entry.child, entry, number)
        self.p = scalar(&self.buffer, self.p, self.end, entry, number, in_array)
        return 0 if self.p is not NULL else -1

    cdef int skipped(self) noexcept:
        """A value that nobody wants."""
        cdef uint8_t first = self.p[0]
        if first == b"{" or first == b"[":
            self.p += 1
            if self.open(NULL, NULL, 0) != 0:
                return -1
            self.frames[self.depth - 1].is_array = first == b"["
            return 0
        if first == b'"':
            self.p += 1
            return self.string()
        if first == b"t":
            return self.literal(b"true", 4)
        if first == b"f":
            return self.literal(b"false", 5)
        if first == b"n":
            return self.literal(b"null", 4)
        self.p = number_end(self.p, self.end)
        return 0 if self.p is not NULL else -1

    cdef int string(self) noexcept:
        """To behind a text whose first quotation mark was read."""
        cdef const uint8_t *begin = self.p
        self.p = string_end(begin, self.end)
        return 0 if self.p is not NULL and self.p - begin < TEXT else -1

    cdef int literal(self, const char *word, int size) noexcept:
        self.p = literal_end(self.p, self.end, word, size)
        return 0 if self.p is not NULL else -1

    cdef int open(self, const Message *message, const Entry *entry, int number) noexcept:
        """What follows is within an object or array."""
        cdef Frame *frame = &self.frames[self.depth]
        if self.depth == MOST or reserve(&self.buffer, LEAD) != 0:
            return -1
        memset(frame, 0, sizeof(Frame))
        self.depth += 1
        frame.message = message
        frame.start = self.p
        frame.tag = self.buffer.used
        frame.is_array = message is NULL
        if message is NULL and entry is not NULL:
            frame.entry = entry
            frame.number = number
            if entry.type == STRING or entry.type == BYTES or entry.type == MESSAGE:
                return 0
        if entry is not NULL:
            put_tag(&self.buffer, number, 2)
            frame.reserved = self.expected(message)
            self.buffer.used += frame.reserved
        frame.at = self.buffer.used
        return 0

    cdef int expected(self, const Message *message) noexcept:
        """Bytes that the length of a message is likely to have."""
        if message is NULL:
            return 1
        if self.depth <= 5:  # a resource or scope: half of what is left
            return width((self.end - self.p) // 2)
        return self.lengths[(message - self.schema.messages) & 255]

    cdef int close(self, Frame *frame) noexcept:
        cdef Py_ssize_t size = self.buffer.used - frame.at
        cdef int lead
        self.depth -= 1
        if not frame.reserved:
            return 0
        if frame.is_array and not size:
            self.buffer.used = frame.tag
            return 0
        lead = put_length(&self.buffer, frame.at, frame.reserved)
        if lead < 0:
            return -1
        if lead != frame.reserved:  # then all of it was moved, which takes time too
            self.pause -= min(size, self.pause - self.begin)
        if frame.message is not NULL:
            self.lengths[(frame.message - self.schema.messages) & 255] = lead
        return 0

    cdef int counted(self, Frame *frame) noexcept:
        """One more member; -1 if there are too many for so few bytes."""
        cdef Py_ssize_t before = self.p - self.begin - 4 * WINDOW
        frame.members += 1
        if not frame.is_large:
            if self.p - frame.start < WINDOW:
                return 0
            frame.is_large = True
            self.values += 2 * frame.members
        self.values += 2  # its name, and itself
        if self.values > FREE_VALUES + max(before, 0) // LEAST:
            return -1
        if frame.entry is NULL:
            return 0
        if frame.members % 64 == 0:
            frame.sizes[0], frame.sizes[1] = frame.sizes[1], self.buffer.used
        if frame.members > FREE_PARTS + max(frame.sizes[0] - frame.tag, 0) // LEAST:
            return -1
        return 0

    cdef int weigh(self) noexcept:
        """Count the braces of the next piece; -1 if they are too many."""
        cdef const uint8_t *at = self.weighed
        cdef const uint8_t *stop = at + min(PIECE, self.end - at)
        if at == self.end:
            return 0
        while at < stop:
            self.braces += at[0] == b"{"
            at += 1
        if self.braces > FREE_VALUES + (self.weighed - self.begin + PIECE) // LEAST:
            return -1
        self.weighed = stop
        return 0
