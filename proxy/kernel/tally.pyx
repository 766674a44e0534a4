# cython: boundscheck=False, wraparound=False, nonecheck=False, initializedcheck=False
# cython: cdivision=True
"""Spans counted where they lie, in C. The rules are in tally.py.

Every read is of bytes in [p, end), which `field` checks before it; the outermost end is that of the
`bytes` that the caller holds throughout. What a field says of its size is compared with what is
left. The key is written to memory that `put` makes larger first. Bounds and counts of a histogram
are one block of 2 * size + 1 doubles, indexed from 0 to size.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport PyObject
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy

from proxy.kernel.wire_error import WireError


cdef class Buckets:
    def __cinit__(self, bounds):
        cdef Py_ssize_t at
        self._size = len(bounds)
        self._bounds = <double *>calloc(2 * self._size + 1, sizeof(double))
        if self._bounds is NULL:
            raise MemoryError
        self._counts = self._bounds + self._size
        for at in range(self._size):
            self._bounds[at] = bounds[at]

    def __dealloc__(self):
        free(self._bounds)

    cdef void put(self, double value, double weight) noexcept:
        cdef Py_ssize_t low = 0, high = self._size, middle
        while low < high:
            middle = (low + high) // 2
            if self._bounds[middle] < value:
                low = middle + 1
            else:
                high = middle
        self._counts[low] += weight
        self.sum += value * weight

    def add(self, double value, double weight=1.0):
        self.put(value, weight)

    @property
    def bounds(self):
        return [self._bounds[at] for at in range(self._size)]

    @property
    def counts(self):
        return [self._counts[at] for at in range(self._size + 1)]


cdef class Tally:
    def __cinit__(self):
        self.seen = 0


cdef inline const uint8_t *varint(
    const uint8_t *p, const uint8_t *end, uint64_t *value
) noexcept nogil:
    """Where it ends; NULL if it is cut off or has more than ten bytes."""
    cdef int shift = 0
    value[0] = 0
    while p < end and shift < 70:
        value[0] |= <uint64_t>(p[0] & 0x7F) << shift
        if p[0] < 0x80:
            return p + 1
        shift += 7
        p += 1
    return NULL


cdef inline uint64_t eight(const uint8_t *p) noexcept nogil:
    cdef uint64_t value = 0
    cdef int at
    for at in range(8):
        value |= <uint64_t>p[at] << (8 * at)
    return value


cdef inline const uint8_t *field(
    const uint8_t *p, const uint8_t *end, Field *found
) noexcept nogil:
    """Where the field that begins at `p` ends; NULL if it is none."""
    cdef uint64_t key, size
    p = varint(p, end, &key)
    if p is NULL:
        return NULL
    found.number, found.wire = key >> 3, key & 7
    if found.number == 0 or found.number >= 1 << 29:
        return NULL
    if found.wire == 2:
        p = varint(p, end, &size)
        if p is NULL or size > <uint64_t>(end - p):
            return NULL
        found.text.at, found.text.size = p, <Py_ssize_t>size
        return p + size
    if found.wire == 0:
        return varint(p, end, &found.value)
    if found.wire == 1:
        if end - p < 8:
            return NULL
        found.value = eight(p)
        return p + 8
    if found.wire == 5 and end - p >= 4:
        return p + 4
    return NULL


cdef bint status(Text text, uint64_t *code) noexcept nogil:
    """Its code, if it says one; False if it is no message."""
    cdef const uint8_t *p = text.at
    cdef const uint8_t *end = p + text.size
    cdef Field found
    while p < end:
        p = field(p, end, &found)
        if p is NULL:
            return False
        if found.number == 3 and found.wire == 0:
            code[0] = found.value
    return True


cdef inline bytes of(Text text):
    return PyBytes_FromStringAndSize(<const char *>text.at, text.size)


cdef class Digest:
    def __cinit__(self, names, double divisor, tuple limits not None, weigh):
        self._names = tuple(names)
        for name in self._names:
            if type(name) is not bytes:
                raise TypeError("names are bytes")
        self._divisor = divisor
        self._latest, self._longest = limits
        self._weigh = weigh

    def __dealloc__(self):
        free(self._room)

    def count(self, bytes buf not None, tuple place not None, dict known not None, now, opened):
        cdef Py_ssize_t start, stop, untimed = 0
        cdef const uint8_t *begin = <const uint8_t *>PyBytes_AS_STRING(buf)
        cdef const uint8_t *p
        cdef const uint8_t *end
        cdef PyObject *there
        cdef Field found
        cdef Span span
        cdef bytes key
        start, stop = place
        if start < stop and (start < 0 or stop > PyBytes_GET_SIZE(buf)):
            raise IndexError(f"{start} to {stop} of {len(buf)} bytes")
        p, end = begin + start, begin + stop
        while p < end:
            p = field(p, end, &found)
            if p is NULL:
                raise WireError(f"no spans from byte {start} to {stop}")
            if found.number != 2 or found.wire != 2:
                continue
            if not self.read(&span, found.text):
                raise WireError(f"no span at byte {found.text.at - begin}")
            key = PyBytes_FromStringAndSize(<const char *>self._room, self._used)
            there = PyDict_GetItemWithError(known, key)
            tally = <object>there if there is not NULL else None
            if tally is None:
                tally = opened(
                    key, found.text.at - begin, found.text.at + found.text.size - begin
                )
            if tally is not None:
                untimed += self.add(<Tally?>tally, &span, now)
        return untimed

    cdef bint add(self, Tally tally, Span *span, now) except -1:
        cdef double value, weight = 1.0
        cdef uint64_t start = span.start, end = span.end
        if span.state.size and self._weigh is not None:
            weight = self._weigh(of(span.state))
        tally.calls += weight
        tally.seen = now
        if tally.durations is None:
            return False
        if not start or start > end or end > self._latest or end - start > self._longest:
            return True
        value = <double>(end - start) / self._divisor
        if isinstance(tally.durations, Buckets):
            (<Buckets>tally.durations).put(value, weight)
        else:
            tally.durations.add(value, weight)
        if tally.exemplars is not None and span.trace.size:
            tally.exemplars.append((of(span.trace), of(span.id), value, end))
        return False

    cdef bint read(self, Span *span, Text text) except -1:
        """A span and its key; False if it is no message."""
        cdef const uint8_t *p = text.at
        cdef const uint8_t *end = p + text.size
        cdef Text none = Text(p, 0)
        cdef Field found
        cdef int is_wanted
        span.name = span.state = span.trace = span.id = none
        span.start = span.end = span.kind = span.code = 0
        self._used = 0
        while p < end:
            p = field(p, end, &found)
            if p is NULL:
                return False
            if found.wire == 2:
                if found.number == 9:
                    is_wanted = self.wanted(found.text) if self._names else 0
                    if is_wanted < 0:
                        return False
                    if is_wanted:
                        self.number(found.text.size, 4)
                        self.put(found.text.at, found.text.size)
                elif found.number == 5:
                    span.name = found.text
                elif found.number == 1:
                    span.trace = found.text
                elif found.number == 2:
                    span.id = found.text
                elif found.number == 3:
                    span.state = found.text
                elif found.number == 15 and not status(found.text, &span.code):
                    return False
            elif found.wire == 1:
                if found.number == 7:
                    span.start = found.value
                elif found.number == 8:
                    span.end = found.value
            elif found.wire == 0 and found.number == 6:
                span.kind = found.value
        self.put(span.name.at, span.name.size)
        self.number(span.name.size, 8)
        self.number(span.kind, 8)
        self.number(span.code, 8)
        return True

    cdef int wanted(self, Text pair) except -2:
        """1 if that attribute is, 0 if not, -1 if it is no message."""
        cdef const uint8_t *p = pair.at
        cdef const uint8_t *end = p + pair.size
        cdef Text key = Text(p, 0)
        cdef Field found
        while p < end:
            p = field(p, end, &found)
            if p is NULL:
                return -1
            if found.number == 1 and found.wire == 2:
                key = found.text
        for name in self._names:
            if PyBytes_GET_SIZE(name) == key.size and (
                not key.size or not memcmp(PyBytes_AS_STRING(name), key.at, key.size)
            ):
                return 1
        return 0

    cdef int put(self, const uint8_t *data, Py_ssize_t size) except -1:
        cdef Py_ssize_t most = 2 * (self._used + size) + 64
        cdef uint8_t *room
        if self._used + size > self._most:
            room = <uint8_t *>realloc(self._room, most)
            if room is NULL:
                raise MemoryError
            self._room, self._most = room, most
        if size:  # of nothing there may be no place, which memcpy does not take
            memcpy(self._room + self._used, data, size)
            self._used += size
        return 0

    cdef int number(self, uint64_t value, int size) except -1:
        """Little-endian."""
        cdef uint8_t raw[8]
        cdef int at
        for at in range(8):
            raw[at] = (value >> (8 * at)) & 0xFF
        return self.put(raw, size)
