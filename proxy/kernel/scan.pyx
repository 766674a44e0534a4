"""HTTP/1.1 heads as offsets into the bytes that came: one pass, and no object for what is passed on.

What is accepted here is what `http/h1.py` accepts by llhttp and its own checks, less the rare
forms: everything else is None, and h1.py lets llhttp say what is to become of it. So this module
may be stricter than llhttp, and must never be laxer. Which names are special and which methods
are known, `http/headers.py` and `http/h1.py` tell when they are imported.

Bounds: nothing is read beyond the size of the data, which has a minimum for the first line (18 and
16 bytes); `fields.pyx` says why its offsets are below it. They fit 32 bits because longer data are
refused (LONGEST); `http/receive.py` and `server/h1_upstream.py` refuse heads far below that. The
data live as long as the offsets.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_SetItem
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DATA
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from proxy.kernel.fields cimport MORE, WHOLE, Scan, scan_fields
from proxy.kernel.names cimport (
    BITS, CODING, LENGTH, NAMES, NOTICED, OLD, PASSED, REPEATED, REQUESTS, RESPONSES, Names,
    same_name,
)
from proxy.kernel.tokens cimport method_at, skip_path

cdef extern from "vectors.h":
    const uint8_t* skip_value(const uint8_t* p, const uint8_t* end) noexcept nogil
    const uint8_t* skip_target(const uint8_t* p, const uint8_t* end) noexcept nogil

cdef extern from *:
    PyObject* PyTuple_GET_ITEM(tuple items, Py_ssize_t place)
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 most)

cdef enum:
    LONGEST = 1 << 30  # bytes of a head
    SHORTEST_REQUEST = 18  # "GET / HTTP/1.1\r\n\r\n"
    SHORTEST_RESPONSE = 16  # "HTTP/1.1 200\r\n\r\n"
    MOST_POOLED = 32
    MOST_DIGITS = 19  # of a Content-Length that llhttp is not asked about

SCANS = True  # the twin does not

cdef Line* POOL[MOST_POOLED]  # arrays of FEW lines, lent to heads
cdef int pooled = 0
cdef list LAST = [None] * 256  # values by the kind of their name


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

    cpdef list lowered(self):
        cdef const char* data = PyBytes_AS_STRING(self.data)
        cdef Line* line = self.at
        cdef list found = []
        cdef bytes name
        cdef char* low
        cdef Py_ssize_t size, at
        for _ in range(self.count):
            if line.kind == PASSED:
                size = line.name_end - line.start
                name = PyBytes_FromStringAndSize(NULL, size)
                low = PyBytes_AS_STRING(name)  # nobody else has seen it
                for at in range(size):
                    low[at] = data[line.start + at]
                    if 65 <= low[at] <= 90:
                        low[at] += 32
                found.append((name, data[line.value : line.value_end]))
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
        self.seen, self.twice = scan.seen, scan.twice
        return not scan.seen & (LENGTH | CODING) or self.is_framed(data)

    cdef int grow(self) except -1:
        """Room for twice as many lines."""
        cdef Line* more = <Line*>realloc(self.at, 2 * <size_t>self.room * sizeof(Line))
        if not more:
            raise MemoryError
        self.at = more
        self.room *= 2
        return 0

    cdef bint is_framed(self, const uint8_t* data) noexcept:
        """One Content-Length of digits, or one Transfer-Encoding: chunked; the rest is rare."""
        cdef Line* line = self.at
        cdef uint32_t i, size
        cdef uint64_t bit
        if self.twice & (LENGTH | CODING) or self.seen & LENGTH and self.seen & CODING:
            return False
        for _ in range(self.count):
            bit = BITS[line.kind]
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

    cdef bytes value_of(self, Line* line):
        """The value of a special line. Some names keep theirs from head to head: the same object
        costs 100 instructions less than a new one, and as many again for its hash
        (benchmarks/micro_parse_instructions.py)."""
        cdef const char* value = PyBytes_AS_STRING(self.data) + line.value
        cdef Py_ssize_t size = line.value_end - line.value
        cdef bytes last
        if not REPEATED[line.kind]:
            return PyBytes_FromStringAndSize(value, size)
        last = LAST[line.kind]
        if last is None or PyBytes_GET_SIZE(last) != size or memcmp(
            PyBytes_AS_STRING(last), value, size
        ):
            last = PyBytes_FromStringAndSize(value, size)
            LAST[line.kind] = last
        return last

    cpdef bytes special(self, bytes name):
        """The value of one special field; None: it did not come."""
        cdef Line* line = self.at
        cdef Line* end = line + self.count
        cdef PyObject* its
        while line < end:
            if line.kind != PASSED and line.kind != TAKEN:
                its = PyTuple_GET_ITEM(NAMES, line.kind - 1)
                if its == <PyObject*>name or <bytes>its == name:
                    if self.twice & BITS[line.kind]:
                        return self.specials().get(name)
                    return self.value_of(line)
            line += 1
        return None

    cpdef dict specials(self, long long bits=-1):
        """The special fields with one of these bits, by lower-case name; those that came more than
        once joined."""
        cdef Line* line = self.at
        cdef Line* end = line + self.count
        cdef dict fields = {}
        cdef bytes name, value
        while line < end:
            if line.kind != TAKEN and BITS[line.kind] & <uint64_t>bits:
                name = NAMES[line.kind - 1]
                value = self.value_of(line)
                if self.twice & BITS[line.kind] and name in fields:
                    value = <bytes>fields[name] + b", " + value
                PyDict_SetItem(fields, name, value)
            line += 1
        return fields


cdef class Head:
    """The fields of a head: the lines that were scanned, or, once somebody asks for all of the
    special ones or sets them, a dict of those."""

    @property
    def fields(self):
        """The special fields by lower-case name."""
        if self.made is None:
            self.made = {} if self.lines is None else self.lines.specials()
        return self.made

    cpdef hold(self, dict fields):
        """These are the special fields."""
        self.made = fields

    cpdef bytes field(self, bytes name):
        """One special field; a dict of all costs 600 instructions and more
        (benchmarks/micro_parse_instructions.py)."""
        if self.made is not None:
            return self.made.get(name)
        return None if self.lines is None else self.lines.special(name)

    cpdef dict some(self, long long bits):
        """The special fields with one of these bits, and perhaps others."""
        if self.made is not None or self.lines is None:
            return self.fields
        return self.lines.specials(bits)

    cpdef list unscanned(self):
        """Lines as a list, from when on the list counts."""
        cdef list pairs = self.lines.pairs()
        self.fields
        self.lines = None
        return pairs


cpdef Lines scan_request(bytes data):
    """The head in `data`, which ends with its blank line; None: it is rare or malformed."""
    cdef const uint8_t* p = data
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef uint32_t n = <uint32_t>size, i = 0
    cdef const uint8_t* target
    cdef const uint8_t* mark  # where its path ends
    cdef const uint8_t* at
    cdef bint is_usual
    cdef str method
    cdef Lines lines
    if size < SHORTEST_REQUEST or size > LONGEST or not REQUESTS.seed:
        return None
    method = method_at(p, &i)
    if method is None or p[i + 1] != 47:
        return None
    target = p + i + 1
    mark = skip_path(target, p + n, &is_usual)
    at = skip_target(mark, p + n)
    if p + n - at < 13:
        return None
    lines = Lines.__new__(Lines)
    lines.data = data
    lines.method = method
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
