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
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from proxy.kernel.names cimport (
    CODING, LENGTH, NAMES, NOTICED, NOWHERE, OLD, PASSED, REPEATED, REQUESTS, RESPONSES,
    Names, Spelled, learn, look_up, same_name,
)

cdef extern from "vectors.h":
    const uint8_t* skip_value(const uint8_t* p, const uint8_t* end) noexcept nogil
    const uint8_t* skip_target(const uint8_t* p, const uint8_t* end) noexcept nogil
    uint32_t name_size(const uint8_t* p) noexcept nogil
    uint32_t name_hash(const uint8_t* p, uint32_t size) noexcept nogil
    bint is_kept(const uint8_t* kept, const uint8_t* p, uint32_t size) noexcept nogil
    uint64_t word(const uint8_t* p) noexcept nogil
    uint64_t lowest(uint64_t w, int bytes) noexcept nogil

cdef extern from *:
    bint PyUnicode_IS_COMPACT_ASCII(str text)
    PyObject* PyTuple_GET_ITEM(tuple items, Py_ssize_t place)
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 most)

cdef enum:
    LONGEST = 1 << 30  # bytes of a head
    SHORTEST_REQUEST = 18  # "GET / HTTP/1.1\r\n\r\n"
    SHORTEST_RESPONSE = 16  # "HTTP/1.1 200\r\n\r\n"
    LONGEST_METHOD = 16
    MOST_METHODS = 64
    MOST_POOLED = 32
    INSIDE = 1  # characters of a path; the others must not follow a slash
    DOT = 2
    SLASH = 3
    MOST_DIGITS = 19  # of a Content-Length that llhttp is not asked about

cdef struct Method:
    uint64_t first, second  # its letters, and zeros
    uint32_t size
    PyObject* name

cdef uint8_t IN_PATH[256]
cdef Line* POOL[MOST_POOLED]  # arrays of FEW lines, lent to heads
cdef int pooled = 0
cdef list LAST = [None] * 256  # values by the kind of their name

cdef Method METHODS[MOST_METHODS]
cdef int KNOWN_METHODS = 0
cdef tuple _METHODS  # keeps the names


for _c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_~!$&'()*+,;=:@-":
    IN_PATH[<int>ord(_c)] = INSIDE
IN_PATH[46], IN_PATH[47] = DOT, SLASH


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
    const uint8_t* data, const uint8_t* at, const uint8_t* wide, uint32_t size, Names* names,
    Spelled* found
) noexcept nogil:
    """The name at `at`, which a colon follows; NULL: there is none. Up to `wide` 32 bytes are there."""
    cdef uint32_t long, hash
    cdef const Spelled* kept
    if at <= wide:
        long = name_size(at)
        if 0 < long < 32:
            hash = name_hash(at, long)
            kept = &names.kept[hash]
            if kept.size == long and is_kept(kept.bytes, at, long):
                return kept
            kept = &names.kept[hash ^ 1]
            if kept.size == long and is_kept(kept.bytes, at, long):
                return kept
            return learn(data, <uint32_t>(at - data), size, names, hash)
    return found if look_up(data, <uint32_t>(at - data), size, names, found) else NULL


cdef int scan_fields(const uint8_t* data, uint32_t size, Names* names, Scan* scan) noexcept nogil:
    """Field lines from `scan.next`, which is 3 or more, to the blank line, which must end the data.

    Each loop ends at the last byte at the latest, since that is LF: bytes are compared with `end`
    once a line. Offsets grow, because `at` does.
    """
    cdef const uint8_t* at = data + scan.next
    cdef const uint8_t* end = data + size
    cdef const uint8_t* wide = end - 32 if size >= 32 else data
    cdef const uint8_t* value
    cdef const uint8_t* stop
    cdef uint64_t seen = scan.seen, twice = scan.twice, bit
    cdef Line* line = scan.lines + scan.count
    cdef Line* full = scan.lines + scan.room
    cdef int result = REFUSED
    cdef Spelled found
    cdef const Spelled* name
    if scan.next >= size or data[size - 1] != 10:
        return REFUSED
    while at < end:
        if at[0] == 13:
            if at[1] == 10 and at + 2 == end:
                result = WHOLE
            break
        if line == full:
            result = MORE
            break
        name = name_at(data, at, wide, size, names, &found)
        if name == NULL:
            break
        line.start = <uint32_t>(at - data)
        at += name.size
        line.name_end = <uint32_t>(at - data)
        line.kind = name.kind
        if name.place != NOWHERE:
            bit = 1ULL << name.place
            twice |= seen & bit
            seen |= bit
        at += 1
        while at[0] <= 32 and (at[0] == 32 or at[0] == 9):
            at += 1
        line.value = <uint32_t>(at - data)
        value = at
        stop = at = skip_value(at, end)
        if at[0] != 13 or at[1] != 10:
            break
        while stop > value and stop[-1] <= 32:  # a space or a tab, being part of the value
            stop -= 1
        line.value_end = <uint32_t>(stop - data)
        at += 2
        line.end = <uint32_t>(at - data)
        line += 1
    scan.next = <uint32_t>(at - data)
    scan.count = <int>(line - scan.lines)
    scan.seen, scan.twice = seen, twice
    return result


@cython.freelist(32)
@cython.no_gc
@cython.final
cdef class Lines:
    """The field lines of one head, and what its first line says."""

    def __cinit__(self):
        global pooled
        if pooled:
            pooled -= 1
            self.at = POOL[pooled]
        else:
            self.at = <Line*>malloc(FEW * sizeof(Line))
            if not self.at:
                raise MemoryError
        self.room = FEW

    def __dealloc__(self):
        global pooled
        if self.room == FEW and pooled < MOST_POOLED:
            POOL[pooled] = self.at
            pooled += 1
        else:
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

    @property
    def target(self):
        """The target of the request as it came."""
        return self.data[self.target_start : self.target_end]

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
        cdef Line* more = <Line*>realloc(self.at, 2 * <size_t>self.room * sizeof(Line))
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
        cdef Line* end = line + self.count
        cdef dict fields = {}
        cdef PyObject* name
        cdef bytes value
        cdef uint64_t bit
        self.fields = fields
        while line < end:
            if line.kind != PASSED:
                bit = 1ULL << (line.kind - 1)
                name = PyTuple_GET_ITEM(NAMES, line.kind - 1)
                if bit & REPEATED:
                    value = repeated(data + line.value, line.value_end - line.value, line.kind)
                else:
                    value = PyBytes_FromStringAndSize(
                        data + line.value, line.value_end - line.value
                    )
                if twice & bit and <object>name in fields:
                    value = <bytes>fields[<object>name] + b", " + value
                PyDict_SetItem(fields, <object>name, value)
            line += 1
        return 0


cdef inline bytes repeated(const char* data, Py_ssize_t size, uint8_t kind):
    """The value that a name had the last time, if it has it again: 100 instructions less than a new
    one, and as many again for its hash (benchmarks/micro_parse_instructions.py)."""
    cdef bytes last = LAST[kind]
    if last is None or PyBytes_GET_SIZE(last) != size or memcmp(PyBytes_AS_STRING(last), data, size):
        last = PyBytes_FromStringAndSize(data, size)
        LAST[kind] = last
    return last


cpdef Lines scan_request(bytes data):
    """The head in `data`, which ends with its blank line; None: it is rare or malformed."""
    cdef const uint8_t* p = data
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef uint32_t n = <uint32_t>size, i = 0
    cdef const uint8_t* target
    cdef const uint8_t* mark  # where its path ends
    cdef const uint8_t* at
    cdef bint is_usual
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
    target = p + i + 1
    mark = skip_path(target, p + n, &is_usual)
    at = skip_target(mark, p + n)
    if p + n - at < 13:
        return None
    lines = Lines.__new__(Lines)
    lines.data = data
    lines.method = <str>METHODS[k].name
    if memcmp(at, b" HTTP/1.1\r\n", 11) == 0:
        lines.version = "1.1"
    elif memcmp(at, b" HTTP/1.0\r\n", 11) == 0:
        lines.version = "1.0"
    else:
        return None
    if not lines.scan(<uint32_t>(at - p) + 11, &REQUESTS):
        return None
    if lines.seen & CODING and at[8] == 48:
        return None  # HTTP/1.0 has none
    lines.target_start = <uint32_t>(target - p)
    lines.target_end = <uint32_t>(at - p)
    if at[8] == 48:
        lines.seen |= OLD
    lines.path = lines.query = lines.tail = ""
    if is_usual and (mark == at or mark[0] == 63):
        lines.path = letters(target, mark)
        if mark < at:
            lines.tail = letters(mark, at)
            lines.query = letters(mark + 1, at)
    return lines


cdef inline str letters(const uint8_t* start, const uint8_t* end):
    """Bytes that are known to be ASCII."""
    cdef str text = PyUnicode_New(end - start, 127)
    memcpy(PyUnicode_DATA(text), start, end - start)
    return text


cdef inline const uint8_t* skip_path(const uint8_t* p, const uint8_t* end, bint* is_usual) noexcept nogil:
    """The first byte from `p`, a slash, on that is none of a usual path's; whether that is one.

    Usual is "/", and segments of characters that stand for themselves and begin with no dot, each
    behind a slash; one more slash may follow.
    """
    cdef uint8_t what, before = SLASH
    is_usual[0] = True
    p += 1
    while p < end:
        what = IN_PATH[p[0]]
        if what == 0:
            break
        if before == SLASH and what != INSIDE:
            is_usual[0] = False
        before = what
        p += 1
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
        i = <uint32_t>(skip_value(p + 13, p + n) - p)
    if n - i < 4 or p[i] != 13 or p[i + 1] != 10:
        return None
    lines = Lines.__new__(Lines)
    lines.data = data
    lines.status = status
    lines.version = "1.1" if p[7] == 49 else "1.0"
    if not lines.scan(i + 2, &RESPONSES):
        return None
    lines.dated = lines.seen & NOTICED != 0
    if p[7] == 48:
        lines.seen |= OLD
    lines.reason = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + 13, i - 13) if i > 13 else b""
    return lines
