"""HTTP/1.1 heads as offsets into the bytes that came: one pass, and no object for what is passed on.

What is accepted here is what `http/h1.py` accepts by llhttp and its own checks, less the rare
forms: everything else is None, and h1.py lets llhttp say what is to become of it. So this module
may be stricter than llhttp, and must never be laxer. Which names are special and which methods
are known, `http/headers.py` and `http/h1.py` tell it when they are imported.

Bounds: each function gets a size and reads below it. `scan_fields` compares with `size` before
each byte; words and vectors are loaded only where all of their bytes are below it. Each offset of
a `Line` is at most `size`, in the order of the struct, and `data` lives as long as they do. They
fit 32 bits because longer data are refused (LONGEST); `http/receive.py` and `server/h1_upstream.py`
refuse heads far below that. Lines are written at `count` < `room` alone.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_SetItem
from cpython.object cimport PyObject
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from proxy.kernel.names cimport (
    CODING, LENGTH, NAMES, NOTICED, NOWHERE, PASSED, REQUESTS, RESPONSES,
    Names, Spelled, learn, look_up, same_name,
)

cdef extern from "vectors.h":
    uint32_t skip_value(const uint8_t* p, uint32_t i, uint32_t n) noexcept nogil
    uint32_t skip_target(const uint8_t* p, uint32_t i, uint32_t n) noexcept nogil
    uint32_t name_size(const uint8_t* p) noexcept nogil
    uint32_t name_hash(const uint8_t* p, uint32_t size) noexcept nogil
    bint is_kept(const uint8_t* kept, const uint8_t* p, uint32_t size) noexcept nogil
    uint64_t word(const uint8_t* p) noexcept nogil
    uint64_t lowest(uint64_t w, int bytes) noexcept nogil

cdef enum:
    LONGEST = 1 << 30  # bytes of a head
    SHORTEST_REQUEST = 18  # "GET / HTTP/1.1\r\n\r\n"
    SHORTEST_RESPONSE = 16  # "HTTP/1.1 200\r\n\r\n"
    LONGEST_METHOD = 16
    MOST_METHODS = 64
    MOST_DIGITS = 19  # of a Content-Length that llhttp is not asked about

cdef struct Method:
    uint64_t first, second  # its letters, and zeros
    uint32_t size
    PyObject* name

cdef Method METHODS[MOST_METHODS]
cdef int KNOWN_METHODS = 0
cdef tuple _METHODS  # keeps the names


def know_methods(tuple names):
    """The methods that llhttp takes, most frequent first."""
    global KNOWN_METHODS, _METHODS
    cdef uint8_t padded[LONGEST_METHOD]
    cdef bytes letters
    assert len(names) <= MOST_METHODS
    _METHODS = names
    for place, name in enumerate(names):
        letters = name.encode("ascii")
        assert len(letters) < LONGEST_METHOD
        memset(padded, 0, LONGEST_METHOD)
        memcpy(padded, <const char*>letters, len(letters))
        METHODS[<int>place].first = word(padded)
        METHODS[<int>place].second = word(padded + 8)
        METHODS[<int>place].size = len(letters)
        METHODS[<int>place].name = <PyObject*>name
    KNOWN_METHODS = len(names)


cdef inline const Spelled* name_at(
    const uint8_t* data, uint32_t i, uint32_t size, Names* names, Spelled* found
) noexcept nogil:
    """The name at `i`, which a colon follows; NULL: there is none."""
    cdef uint32_t long, hash
    cdef const Spelled* kept
    if size - i >= 32:
        long = name_size(data + i)
        if 0 < long < 32:
            hash = name_hash(data + i, long)
            kept = &names.kept[hash]
            if kept.size == long and is_kept(kept.bytes, data + i, long):
                return kept
            kept = &names.kept[hash ^ 1]
            if kept.size == long and is_kept(kept.bytes, data + i, long):
                return kept
            return learn(data, i, size, names, hash)
    return found if look_up(data, i, size, names, found) else NULL


cdef int scan_fields(const uint8_t* data, uint32_t size, Names* names, Scan* scan) noexcept nogil:
    """Field lines from `scan.next`, which is 3 or more, to the blank line, which must end the data."""
    cdef uint32_t i = scan.next, j
    cdef uint64_t seen = scan.seen, twice = scan.twice, bit
    cdef Line* line = scan.lines + scan.count
    cdef Line* full = scan.lines + scan.room
    cdef int result = REFUSED
    cdef Spelled found
    cdef const Spelled* name
    if size < 2 or data[size - 1] != 10:
        return REFUSED
    while i < size:  # each loop below ends at the last byte at the latest, which is LF
        if data[i] == 13:
            if data[i + 1] == 10 and i + 2 == size:
                result = WHOLE
            break
        if line == full:
            result = MORE
            break
        name = name_at(data, i, size, names, &found)
        if name == NULL:
            break
        line.start = i
        i += name.size
        line.name_end = i
        line.kind = name.kind
        if name.place != NOWHERE:
            bit = 1ULL << name.place
            twice |= seen & bit
            seen |= bit
        i += 1
        while data[i] == 32 or data[i] == 9:
            i += 1
        line.value = i
        j = i = skip_value(data, i, size)
        if data[i] != 13 or data[i + 1] != 10:
            break
        while j > line.value and (data[j - 1] == 32 or data[j - 1] == 9):
            j -= 1
        line.value_end = j
        i += 2
        line.end = i
        line += 1
    scan.next = i
    scan.count = line - scan.lines
    scan.seen, scan.twice = seen, twice
    return result


@cython.freelist(32)
@cython.no_gc
@cython.final
cdef class Lines:
    """The field lines of one head, and what its first line says."""

    def __cinit__(self):
        self.at = self.few
        self.room = FEW

    def __dealloc__(self):
        if self.at is not self.few:
            free(self.at)

    cpdef list pairs(self):
        cdef const char* data = PyBytes_AS_STRING(self.data)
        cdef Line* line = self.at
        cdef list found = []
        for _ in range(self.count):
            if line.kind == PASSED:
                found.append((data[line.start : line.name_end], data[line.value : line.end - 2]))
            line += 1
        return found

    cpdef list each(self, bytes name):
        cdef const uint8_t* data = self.data
        cdef const uint8_t* low = name
        cdef uint32_t size = len(name)
        cdef Line* line = self.at
        cdef list found = []
        for _ in range(self.count):
            if line.kind == PASSED and line.name_end - line.start == size:
                if same_name(low, data + line.start, size):
                    found.append(data[line.value : line.value_end])
            line += 1
        return found

    cpdef remove(self, names):
        cdef const char* data = PyBytes_AS_STRING(self.data)
        cdef Line* line = self.at
        for _ in range(self.count):
            if line.kind == PASSED and data[line.start : line.name_end].lower() in names:
                line.kind = TAKEN
            line += 1

    cpdef drop_underscores(self):
        cdef const char* data = PyBytes_AS_STRING(self.data)
        cdef Line* line = self.at
        for _ in range(self.count):
            if line.kind == PASSED and b"_" in data[line.start : line.name_end]:
                line.kind = TAKEN
            line += 1

    def places(self):
        """(start, name_end, value, value_end, end, kind) of each line, to be compared."""
        cdef Line* line = self.at
        found = []
        for _ in range(self.count):
            found.append(
                (line.start, line.name_end, line.value, line.value_end, line.end, line.kind)
            )
            line += 1
        return found

    cdef bint scan(self, uint32_t start, Names* names) except -1:
        """Find the lines from `start` on; whether they are by the letter."""
        cdef const uint8_t* data = self.data
        cdef uint32_t size = PyBytes_GET_SIZE(self.data)
        cdef Scan scan
        cdef int result
        memset(&scan, 0, sizeof(Scan))
        scan.next, scan.room, scan.lines = start, self.room, self.at
        result = scan_fields(data, size, names, &scan)
        while result == MORE:
            self.grow()
            scan.room, scan.lines = self.room, self.at
            result = scan_fields(data, size, names, &scan)
        if result != WHOLE:
            return False
        self.count = scan.count
        self.seen = scan.seen
        if scan.seen & (LENGTH | CODING) and not self.is_framed(data, &scan):
            return False
        self.collect(scan.twice)
        return True

    cdef int grow(self) except -1:
        """Room for twice as many lines."""
        cdef Line* more
        if self.at is self.few:
            more = <Line*>malloc(2 * sizeof(self.few))
            if more:
                memcpy(more, self.few, sizeof(self.few))
        else:
            more = <Line*>realloc(self.at, 2 * <size_t>self.room * sizeof(Line))
        if not more:
            raise MemoryError
        self.at = more
        self.room *= 2
        return 0

    cdef bint is_framed(self, const uint8_t* data, Scan* scan) noexcept:
        """One Content-Length of digits, or one Transfer-Encoding: chunked; the rest is rare."""
        cdef Line* line = self.at
        cdef uint32_t i, size
        cdef uint64_t bit
        if scan.twice & (LENGTH | CODING) or scan.seen & LENGTH and scan.seen & CODING:
            return False
        for _ in range(self.count):
            bit = 1ULL << (line.kind - 1) if line.kind else 0
            if bit & (LENGTH | CODING):
                size = line.value_end - line.value
                if line.value_end + 2 != line.end:
                    return False
                if bit == CODING:
                    return size == 7 and same_name(b"chunked", data + line.value, 7)
                for i in range(line.value, line.value_end):
                    if data[i] < 48 or data[i] > 57:
                        return False
                return 0 < size <= MOST_DIGITS
            line += 1
        return False

    cdef int collect(self, uint64_t twice) except -1:
        """The values of the special names."""
        cdef const char* data = PyBytes_AS_STRING(self.data)
        cdef Line* line = self.at
        cdef dict fields = {}
        cdef bytes name, value
        for _ in range(self.count):
            if line.kind != PASSED:
                name = NAMES[line.kind - 1]
                value = PyBytes_FromStringAndSize(data + line.value, line.value_end - line.value)
                if twice & 1ULL << (line.kind - 1) and name in fields:
                    value = <bytes>fields[name] + b", " + value
                PyDict_SetItem(fields, name, value)
            line += 1
        self.fields = fields
        return 0


cpdef Lines scan_request(bytes data):
    """The head in `data`, which ends with its blank line; None: it is rare or malformed."""
    cdef const uint8_t* p = data
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef uint32_t n = <uint32_t>size, i = 0, target
    cdef uint64_t first, second
    cdef Lines lines
    cdef int k
    if size < SHORTEST_REQUEST or size > LONGEST or not REQUESTS.seed:
        return None
    while i < LONGEST_METHOD - 1 and p[i] != 32:
        i += 1
    first = lowest(word(p), i) if i < 8 else word(p)
    second = lowest(word(p + 8), i - 8) if i > 8 else 0
    for k in range(KNOWN_METHODS):
        if METHODS[k].first == first and METHODS[k].second == second and METHODS[k].size == i:
            break
    else:
        return None
    if p[i] != 32 or p[i + 1] != 47:
        return None
    target = i + 1
    i = skip_target(p, target + 1, n)
    if n - i < 13:
        return None
    lines = Lines.__new__(Lines)
    lines.data = data
    lines.method = <str>METHODS[k].name
    if memcmp(p + i, b" HTTP/1.1\r\n", 11) == 0:
        lines.version = "1.1"
    elif memcmp(p + i, b" HTTP/1.0\r\n", 11) == 0:
        lines.version = "1.0"
    else:
        return None
    if not lines.scan(i + 11, &REQUESTS):
        return None
    if lines.seen & CODING and p[i + 8] == 48:
        return None  # HTTP/1.0 has none
    lines.target = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + target, i - target)
    return lines


cpdef Lines scan_response(bytes data):
    """The head in `data`, which ends with its blank line; None: it is rare or malformed."""
    cdef const uint8_t* p = data
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef uint32_t n = <uint32_t>size, i = 12
    cdef int status
    cdef Lines lines
    if size < SHORTEST_RESPONSE or size > LONGEST or not RESPONSES.seed:
        return None
    if memcmp(p, b"HTTP/1.", 7) or p[7] < 48 or p[7] > 49 or p[8] != 32:
        return None
    if p[9] < 49 or p[9] > 53 or not 48 <= p[10] <= 57 or not 48 <= p[11] <= 57:
        return None
    status = 100 * p[9] + 10 * p[10] + p[11] - 111 * 48
    if status == 101:
        return None
    if p[12] == 32:
        i = skip_value(p, 13, n)
    if n - i < 4 or p[i] != 13 or p[i + 1] != 10:
        return None
    lines = Lines.__new__(Lines)
    lines.data = data
    lines.status = status
    lines.version = "1.1" if p[7] == 49 else "1.0"
    if not lines.scan(i + 2, &RESPONSES):
        return None
    lines.dated = lines.seen & NOTICED != 0
    lines.reason = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + 13, i - 13) if i > 13 else b""
    return lines
