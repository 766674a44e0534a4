"""Spans looked over where they lie. The twin in Python says what each does, and why.

Every read is of bytes in [p, end), which is checked before it; the buffer is held by the caller.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy, memset

cdef enum:
    SERVER = 2
    ERROR = 2
    NAMES = 1000
    ENOUGH = 200
    OFTEN = 64
    WINDOW = 4096

cdef struct Field:
    const uint8_t *tag
    uint64_t number
    uint32_t wire
    uint64_t varint
    const uint8_t *value
    const uint8_t *end  # of the field; NULL = there is none


cdef inline const uint8_t *varint(
    const uint8_t *p, const uint8_t *end, uint64_t *value
) noexcept nogil:
    """Where it ends; NULL if it is cut off or has more than ten bytes."""
    cdef int shift = 0
    cdef uint8_t byte
    value[0] = 0
    while p < end and shift < 64:
        byte = p[0]
        p += 1
        value[0] |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            return p
        shift += 7
    return NULL


cdef inline bint advance(
    const uint8_t **at, const uint8_t *end, Field *field
) noexcept nogil:
    """Read the field there and go on behind it; False at the end, and where it is malformed."""
    cdef const uint8_t *p = at[0]
    cdef uint64_t key, size
    field.end = NULL
    field.tag = p
    p = varint(p, end, &key)
    if p is NULL:
        return False
    field.number = key >> 3
    field.wire = key & 7
    if not 0 < field.number < 1 << 29:
        return False
    field.value = p
    if field.wire == 2:
        p = varint(p, end, &size)
        if p is NULL or size > <uint64_t>(end - p):
            return False
        field.value = p
        field.end = p + size
    elif field.wire == 0:
        field.end = varint(p, end, &field.varint)
    elif field.wire == 1:
        if end - p >= 8:
            field.end = p + 8
    elif field.wire == 5:
        if end - p >= 4:
            field.end = p + 4
    if field.end is NULL:
        return False
    at[0] = field.end
    return True


cdef void read(const uint8_t *p, const uint8_t *end, Seen *seen) noexcept nogil:
    cdef Field field
    memset(seen, 0, sizeof(Seen))
    while advance(&p, end, &field):
        if field.wire == 2:
            if field.number == 1:
                seen.trace, seen.trace_size = field.value, p - field.value
            elif field.number == 2:
                seen.span, seen.span_size = field.value, p - field.value
            elif field.number == 4:
                seen.parent, seen.parent_size = field.value, p - field.value
            elif field.number == 5:
                seen.name, seen.name_size = field.value, p - field.value
            elif field.number == 15:
                seen.status = code(field.value, p)
        elif field.wire == 1:
            if field.number == 7:
                memcpy(&seen.start, field.value, 8)
            elif field.number == 8:
                memcpy(&seen.end, field.value, 8)
        elif field.wire == 0 and field.number == 6:
            seen.kind = <uint32_t>field.varint


cdef uint32_t code(const uint8_t *p, const uint8_t *end) noexcept nogil:
    cdef Field field
    cdef uint32_t found = 0
    while advance(&p, end, &field):
        if field.number == 3 and field.wire == 0:
            found = <uint32_t>field.varint
    return found


cdef inline bytes taken(const uint8_t *p, Py_ssize_t size):
    return PyBytes_FromStringAndSize(<const char *>p, size) if size else b""


cdef const uint8_t *start_of(bytes buf, Py_ssize_t begin, Py_ssize_t end) except NULL:
    """Where the buffer begins, of which that part is to be read."""
    if not 0 <= begin <= end <= PyBytes_GET_SIZE(buf):
        raise IndexError(f"{begin} to {end} of {len(buf)} bytes")
    return <const uint8_t *>PyBytes_AS_STRING(buf)


def rows(bytes buf not None, Py_ssize_t begin, Py_ssize_t end):
    """One of each span in a run of `ScopeSpans.spans` fields; times in Unix ns."""
    cdef const uint8_t *first = start_of(buf, begin, end)
    cdef const uint8_t *p = first + begin
    cdef const uint8_t *stop = first + end
    cdef Field field
    cdef Seen seen
    cdef list found = []
    while advance(&p, stop, &field):
        if field.number == 2 and field.wire == 2:
            read(field.value, p, &seen)
            found.append((
                taken(seen.trace, seen.trace_size), taken(seen.span, seen.span_size),
                taken(seen.parent, seen.parent_size), taken(seen.name, seen.name_size),
                seen.kind, seen.start, seen.end, seen.status, field.value - first, p - first,
            ))
    return found


def select(bytes buf not None, Py_ssize_t begin, Py_ssize_t end, int number, wanted):
    """The entries (fields 2) in which field `number` is among those, as they are."""
    cdef const uint8_t *first = start_of(buf, begin, end)
    cdef const uint8_t *p = first + begin
    cdef const uint8_t *stop = first + end
    cdef const uint8_t *at
    cdef Field field, inner
    cdef list picked = []
    cdef bytes found, last = b""
    cdef bint is_wanted = b"" in wanted
    while advance(&p, stop, &field):
        if field.number != 2 or field.wire != 2:
            continue
        at = field.value
        found = b""
        while advance(&at, p, &inner):
            if inner.number == <uint64_t>number and inner.wire == 2:
                found = taken(inner.value, at - inner.value)
                break
        if found != last:  # neighbours are often of one trace
            last = found
            is_wanted = found in wanted
        if is_wanted:
            picked.append(taken(field.tag, p - field.tag))
    return b"".join(picked)


cdef class Judge:
    """Which traces are worth keeping, by what it has seen until now."""

    def __cinit__(self):
        self.paces = {}

    def look(self, bytes buf not None, Py_ssize_t begin, Py_ssize_t end):
        """The trace ids of those in a run of `ScopeSpans.spans` fields."""
        cdef const uint8_t *first = start_of(buf, begin, end)
        cdef const uint8_t *p = first + begin
        cdef const uint8_t *stop = first + end
        cdef Field field
        cdef Seen seen
        cdef list notable = []
        cdef bytes name, last = b""
        cdef Pace pace = None
        cdef bint slow, known = False
        while advance(&p, stop, &field):
            if field.number != 2 or field.wire != 2:
                continue
            read(field.value, p, &seen)
            slow = False
            if seen.kind == SERVER:
                # Of a span without a name there is no place, which memcmp must not be given.
                if not known or seen.name_size != PyBytes_GET_SIZE(last) or (
                    seen.name_size and memcmp(seen.name, PyBytes_AS_STRING(last), seen.name_size)
                ):
                    last = taken(seen.name, seen.name_size)
                    pace = self.paces.get(last)
                    if pace is None and len(self.paces) < NAMES:
                        pace = self.paces[last] = Pace()
                    known = True
                if pace is not None:
                    slow = pace.is_slow(<long long>(seen.end - seen.start))
            if slow or seen.status == ERROR:
                name = taken(seen.trace, seen.trace_size)
                if not notable or notable[len(notable) - 1] != name:
                    notable.append(name)
        return notable


cdef class Pace:
    """How long the spans of one name take."""

    def __cinit__(self):
        memset(self.counts, 0, sizeof(self.counts))
        self.limit = BUCKETS

    cdef bint is_slow(self, long long took):
        cdef uint32_t place = bucket(took)
        self.counts[place] += 1
        self.total += 1
        self.since += 1
        if self.since >= OFTEN:
            self.learn()
        return place > self.limit

    cdef void learn(self):
        cdef uint32_t beyond
        cdef int at
        self.since = 0
        if self.total >= WINDOW:
            self.total = 0
            for at in range(BUCKETS):
                self.counts[at] >>= 1
                self.total += self.counts[at]
        if self.total < ENOUGH:
            return
        beyond = self.total // 100
        at = BUCKETS - 1
        while at and self.counts[at] <= beyond:
            beyond -= self.counts[at]
            at -= 1
        self.limit = at


cdef inline uint32_t bucket(long long took) noexcept nogil:
    cdef uint64_t left
    cdef uint32_t doubling = 0
    if took < 4:
        return <uint32_t>took if took > 0 else 0
    left = <uint64_t>took
    while left > 1:
        left >>= 1
        doubling += 1
    doubling = doubling * 4 + <uint32_t>((took >> (doubling - 2)) & 3)
    return doubling if doubling < BUCKETS else BUCKETS - 1


def pick(bytes buf not None, Py_ssize_t begin, Py_ssize_t end, int number, dict keys not None):
    """Attributes of the span or record `buf[begin:end]`, which are its fields `number`."""
    cdef const uint8_t *first = start_of(buf, begin, end)
    cdef const uint8_t *p = first + begin
    cdef const uint8_t *stop = first + end
    cdef Field field
    cdef list found = [None] * len(keys)
    while advance(&p, stop, &field):
        if field.number == <uint64_t>number and field.wire == 2:
            pair(field.value, p, keys, found)
    return found


cdef int pair(const uint8_t *p, const uint8_t *end, dict keys, list found) except -1:
    """A KeyValue, put where it belongs."""
    cdef Field field
    cdef bytes key = b""
    cdef object place
    cdef const uint8_t *value = NULL
    cdef const uint8_t *stop = NULL
    while advance(&p, end, &field):
        if field.wire == 2:
            if field.number == 1:
                key = taken(field.value, p - field.value)
            elif field.number == 2:
                value, stop = field.value, p
    place = keys.get(key)
    if place is not None:
        found[place] = any_value(value, stop) if value is not NULL else None
    return 0


cdef object any_value(const uint8_t *p, const uint8_t *end):
    cdef Field field
    cdef double number
    cdef object value = None
    while advance(&p, end, &field):
        if field.number == 1 and field.wire == 2:
            value = taken(field.value, p - field.value)
        elif field.number == 2 and field.wire == 0:
            value = field.varint != 0
        elif field.number == 3 and field.wire == 0:
            value = <long long>field.varint
        elif field.number == 4 and field.wire == 1:
            memcpy(&number, field.value, 8)
            value = number
    return value
