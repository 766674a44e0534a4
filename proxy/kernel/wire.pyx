"""Serialised OTLP read in place: its fields one by one, and a survey of a whole request.

The twin says what each does. Every read is of bytes in [p, end), which is checked before it; the
request is held by the caller throughout.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from proxy.kernel.wire_error import WireError

cdef enum:
    DEPTH = 60  # of messages; what is deeper is left to the library, whose limit is 100

cdef enum:  # what a frame has seen
    HAS_TRACE = 1
    GOOD_TRACE = 2
    HAS_SPAN = 4
    GOOD_SPAN = 8
    BAD_PARENT = 16
    HAS_ONE = 32

cdef struct Frame:  # a message that encloses the one that is read
    const uint8_t *end
    const Message *message
    uint32_t seen



cdef class Schema:
    """Messages by their place in the list: (role, [(number, type, flags, child, name), …])."""

    def __cinit__(self, list messages):
        cdef Py_ssize_t at
        self.size = <int>len(messages)
        self.messages = <Message *>calloc(self.size + 1, sizeof(Message))
        if self.messages is NULL:
            raise MemoryError
        self.plans = messages
        for at, (role, fields) in enumerate(messages):
            self.messages[at].role = role
            for number, type, flags, child, name in fields:
                if not 0 < number < NUMBERS or not 0 <= child < self.size:
                    raise ValueError(f"field {number} does not fit")
                self.add(&self.messages[at], number, Entry(type, flags, child), name)

    cdef int add(self, Message *message, int number, Entry entry, bytes name) except -1:
        cdef Name *named = &message.names[message.named]
        if message.named == NUMBERS - 1:  # there are no more numbers than that
            raise ValueError("too many fields")
        message.fields[number] = entry
        named.text, named.size = PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)
        named.number = number
        message.named += 1

    def __dealloc__(self):
        free(self.messages)


cpdef long long survey(Schema schema, bytes request, long long most):
    """Items of a request without fault, of at most `most` parts; -1 = let the library judge."""
    cdef const uint8_t *begin = <const uint8_t *>PyBytes_AS_STRING(request)
    return scan(schema.messages, begin, begin + PyBytes_GET_SIZE(request), most)


cdef long long scan(
    const Message *messages, const uint8_t *p, const uint8_t *whole, long long most
) noexcept nogil:
    """The frames are a stack of its own: calls cost 4 % more (benchmarks.micro_otlp)."""
    cdef Frame frames[DEPTH]
    cdef const Message *message = messages
    cdef const Entry *entry
    cdef const uint8_t *end = whole
    cdef uint32_t key, seen = 0
    cdef Py_ssize_t size
    cdef long long items = 0, parts = 0
    cdef int depth = 0
    while True:
        if p == end:
            if message.role != PLAIN and not fits(message.role, seen):
                return -1
            if not depth:
                return items
            depth -= 1
            end, message, seen = frames[depth].end, frames[depth].message, frames[depth].seen
            continue
        key = p[0]
        p += 1
        if key >= 0x80:  # of two bytes: numbers from 16 to 31
            if p == end or p[0] > 1:
                return -1
            key = (key & 0x7F) | (<uint32_t>p[0] << 7)
            p += 1
        if key < 8:
            return -1
        entry = &message.fields[key >> 3]
        if (key & 7) != 2:
            p = scalar(p, end, entry, key & 7)
            if p is NULL:
                return -1
            continue
        if p == end:
            return -1
        size = p[0]
        p += 1
        if size >= 0x80:
            p = length(p - 1, end, &size)
            if p is NULL:
                return -1
        if size > end - p:
            return -1
        if entry.type == MESSAGE:
            if entry.flags:
                parts += entry.flags & PART != 0
                items += entry.flags & ITEM != 0
                if parts > most or (entry.flags & ONEOF and seen & HAS_ONE):
                    return -1
                if entry.flags & ONEOF and message.role == ALONE:
                    seen |= HAS_ONE
            if depth == DEPTH:
                return -1
            frames[depth].end, frames[depth].message, frames[depth].seen = end, message, seen
            depth += 1
            end, message, seen = p + size, messages + entry.child, 0
            continue
        if entry.type == STRING:
            if not utf8(p, size):
                return -1
        elif entry.type == BYTES:
            if entry.flags >= TRACE:
                seen = named(seen, entry.flags, p, size)
        elif entry.type != NOTHING and not packed(p, p + size, entry):
            return -1
        p += size


cdef inline bint fits(int role, uint32_t seen) noexcept nogil:
    """Whether a message has the ids that it must have, and no other."""
    if role == ALONE:
        return True
    if role == REFERENCE and not seen & HAS_SPAN:
        return not seen & HAS_TRACE or seen & GOOD_TRACE
    return seen & GOOD_TRACE and seen & GOOD_SPAN and not seen & BAD_PARENT


cdef inline uint32_t named(
    uint32_t seen, uint32_t flags, const uint8_t *id, Py_ssize_t size
) noexcept nogil:
    """What is seen with one more id; of two, the last one counts."""
    if flags & TRACE:
        seen &= ~<uint32_t>(HAS_TRACE | GOOD_TRACE)
        return seen | HAS_TRACE * (size > 0) | GOOD_TRACE * is_id(id, size, 16)
    if flags & SPAN:
        seen &= ~<uint32_t>(HAS_SPAN | GOOD_SPAN)
        return seen | HAS_SPAN * (size > 0) | GOOD_SPAN * is_id(id, size, 8)
    seen &= ~<uint32_t>BAD_PARENT
    return seen | BAD_PARENT * (size > 0 and not is_id(id, size, 8))


cdef inline bint is_id(const uint8_t *id, Py_ssize_t size, Py_ssize_t wanted) noexcept nogil:
    cdef uint64_t first = 0, second = 0
    if size != wanted:
        return False
    memcpy(&first, id, 8)
    if wanted == 16:
        memcpy(&second, id + 8, 8)
    return (first | second) != 0


cdef const uint8_t *scalar(
    const uint8_t *p, const uint8_t *end, const Entry *entry, uint32_t wire
) noexcept nogil:
    """Where a field that is not delimited ends; NULL if it is none, or of another type."""
    cdef int type = entry.type
    if wire == 0:
        if type in (DOUBLE, FIXED64, SFIXED64, FIXED32, STRING, BYTES, MESSAGE):
            return NULL
        return varint(p, end)
    if wire == 1:
        if type not in (NOTHING, DOUBLE, FIXED64, SFIXED64) or end - p < 8:
            return NULL
        return p + 8
    if wire == 5:
        if type not in (NOTHING, FIXED32) or end - p < 4:
            return NULL
        return p + 4
    return NULL


cdef inline const uint8_t *varint(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Where a varint ends; NULL if it is cut off or has more than 64 bits."""
    cdef int left = 9
    while p < end:
        if p[0] < 0x80:
            return p + 1 if left or p[0] <= 1 else NULL
        if not left:
            return NULL
        left -= 1
        p += 1
    return NULL


cdef const uint8_t *length(
    const uint8_t *p, const uint8_t *end, Py_ssize_t *size
) noexcept nogil:
    """Read a length of at most five bytes."""
    cdef uint64_t value = 0
    cdef int shift = 0
    while p < end and shift < 35:
        value |= <uint64_t>(p[0] & 0x7F) << shift
        if p[0] < 0x80:
            size[0] = <Py_ssize_t>value
            return p + 1 if value < 0x7FFFFFFF else NULL
        shift += 7
        p += 1
    return NULL


cdef bint packed(const uint8_t *p, const uint8_t *end, const Entry *entry) noexcept nogil:
    """Whether [p, end) holds numbers of that repeated field."""
    cdef int type = entry.type
    if not entry.flags & REPEATED:
        return False
    if type in (DOUBLE, FIXED64, SFIXED64):
        return (end - p) % 8 == 0
    if type == FIXED32:
        return (end - p) % 4 == 0
    while p < end:
        p = varint(p, end)
        if p is NULL:
            return False
    return True


cdef int utf8(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """Whether it is: RFC 3629, without halves of surrogate pairs and what is longer than needed."""
    cdef const uint8_t *end = text + size
    cdef uint64_t eight, seen = 0
    cdef uint8_t first
    if size >= 8:  # most are ASCII: eight bytes at once, the last ones twice
        while end - text > 8:
            memcpy(&eight, text, 8)
            seen |= eight
            text += 8
        memcpy(&eight, end - 8, 8)
        if not (seen | eight) & <uint64_t>0x8080808080808080:
            return 1
        text = end - size
    while text < end:
        first = text[0]
        if first < 0x80:
            text += 1
        elif first < 0xE0:
            if first < 0xC2 or end - text < 2 or (text[1] & 0xC0) != 0x80:
                return 0
            text += 2
        elif first < 0xF0:
            if end - text < 3 or (text[1] & 0xC0) != 0x80 or (text[2] & 0xC0) != 0x80:
                return 0
            if (first == 0xE0 and text[1] < 0xA0) or (first == 0xED and text[1] > 0x9F):
                return 0
            text += 3
        else:
            if first > 0xF4 or end - text < 4 or (text[1] & 0xC0) != 0x80:
                return 0
            if (text[2] & 0xC0) != 0x80 or (text[3] & 0xC0) != 0x80:
                return 0
            if (first == 0xF0 and text[1] < 0x90) or (first == 0xF4 and text[1] > 0x8F):
                return 0
            text += 4
    return 1


def fields(bytes buf, Py_ssize_t start, Py_ssize_t end):
    """The fields of the message in buf[start:end], one by one."""
    return Fields(buf, start, end)


cdef class Fields:
    """What `fields` gives; reads within [0, len(buf)), whatever it was asked."""

    cdef bytes buf
    cdef Py_ssize_t pos
    cdef Py_ssize_t end

    def __cinit__(self, bytes buf not None, Py_ssize_t start, Py_ssize_t end):
        if start < end and (start < 0 or end > PyBytes_GET_SIZE(buf)):
            raise IndexError(f"{start} to {end} of {len(buf)} bytes")
        self.buf = buf
        self.pos = start
        self.end = end

    def __iter__(self):
        return self

    def __next__(self):
        cdef Py_ssize_t tag = self.pos, end = self.end, value, stop
        cdef uint64_t key, size, number
        cdef uint32_t kind
        if tag >= end:
            raise StopIteration
        self.pos = end  # one that has failed is over
        key = self.read(tag, &value)
        number = key >> 3
        kind = key & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"field number {number} at byte {tag}")
        stop = value
        if kind == 2:
            size = self.read(value, &value)
            if size > <uint64_t>(end - value):
                late = <object>value + <object>size - <object>end
                raise WireError(f"field {number} at byte {tag} ends {late} bytes too late")
            stop = value + <Py_ssize_t>size
        elif kind == 0:
            self.read(value, &stop)
        elif kind == 1 or kind == 5:
            stop = value + (8 if kind == 1 else 4)
            if stop > end:
                raise WireError(
                    f"field {number} at byte {tag} ends {stop - end} bytes too late"
                )
        else:
            raise WireError(f"wire type {kind} at byte {tag}")
        self.pos = stop
        return number, kind, tag, value, stop

    cdef uint64_t read(self, Py_ssize_t pos, Py_ssize_t *after) except? 0:
        cdef const uint8_t *buf = <const uint8_t *>PyBytes_AS_STRING(self.buf)
        cdef uint64_t value = 0
        cdef int shift = 0
        cdef uint8_t byte
        while True:
            if pos >= self.end:
                raise WireError(f"varint cut off at byte {pos}")
            byte = buf[pos]
            pos += 1
            value |= <uint64_t>(byte & 0x7F) << shift
            if byte < 0x80:
                after[0] = pos
                return value
            shift += 7
            if shift > 63:
                raise WireError(f"varint of more than ten bytes at byte {pos}")
