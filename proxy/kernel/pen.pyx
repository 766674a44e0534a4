"""Pen: one piece of memory that grows. The rules are in pen.py.

Every byte goes through `room`, which makes sure that as many as are asked for fit behind what is
there; each caller states next to it how many it writes at most. Nothing keeps a pointer into the
memory across another call of `room`.
"""

from binascii import unhexlify

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int8_t, uint64_t
from libc.string cimport memcpy, memmove

from proxy.kernel.lane cimport Window

cdef extern from *:
    """
    #if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "fixed64 and double are copied as they lie in memory"
    #endif
    """

cdef extern from "Python.h":
    uint64_t PyLong_AsUnsignedLongLongMask(object) except? 0xFFFFFFFFFFFFFFFF
    bint PyUnicode_IS_COMPACT_ASCII(object)
    void* PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
TEXT_LIMIT = 4096

cdef enum:
    MOST = 4096  # TEXT_LIMIT
    FIRST = 4096  # bytes that there is room for at first
    KEPT = 65536  # bytes of room that are kept
    LONGEST = 10  # bytes of a varint
    GAP = 3  # bytes before an entry: its tag, and its length if that is from 128 to 16,383
    READY = 2048

cdef int8_t[256] DIGITS  # what a hexadecimal digit is worth; -1 = it is none
cdef int _c
for _c in range(256):
    DIGITS[_c] = int(chr(_c), 16) if chr(_c) in "0123456789abcdefABCDEF" else -1


cdef inline char* put_varint(char* to, uint64_t number) noexcept nogil:
    """At most LONGEST bytes; the place behind them."""
    while number > 0x7F:
        to[0] = <char>(number & 0x7F | 0x80)
        number >>= 7
        to += 1
    to[0] = <char>number
    return to + 1


cdef inline int varint_size(uint64_t number) noexcept nogil:
    cdef int size = 1
    while number > 0x7F:
        number >>= 7
        size += 1
    return size


cdef bint unhex(char* to, const char* digits, Py_ssize_t size) noexcept nogil:
    """`size` bytes from twice as many digits; False if one is none."""
    cdef Py_ssize_t at
    cdef int8_t high, low, bad = 0
    for at in range(size):
        high, low = DIGITS[<unsigned char>digits[2 * at]], DIGITS[<unsigned char>digits[2 * at + 1]]
        bad |= high | low
        to[at] = <char>(high << 4 | low)
    return bad >= 0


cdef bytes _varint(uint64_t number):
    cdef char[LONGEST] made
    return PyBytes_FromStringAndSize(made, put_varint(made, number) - made)


cdef list _VARINTS = [_varint(number) for number in range(READY)]


cpdef bytes varint(object number):
    cdef uint64_t value = PyLong_AsUnsignedLongLongMask(number)
    return <bytes>_VARINTS[value] if value < READY else _varint(value)


cpdef bytes delimited(object field, object payload):
    return varint(field << 3 | 2) + varint(len(payload)) + payload


cpdef bytes text(object value):
    cdef bytes raw
    if isinstance(value, str):
        raw = (<str>value).encode("utf-8", "replace")
    elif is_ascii(<bytes?>value, len(<bytes>value)):
        raw = <bytes>value
    else:
        raw = (<bytes>value)[: MOST + 4].decode("utf-8", "replace").encode()
    if len(raw) > MOST:
        return raw[:MOST].decode("utf-8", "ignore").encode()
    return raw


cdef class TextAttribute:
    def __init__(self, field, key):
        self._tag = varint(field << 3 | 2)
        self._key = delimited(1, text(key)) + b"\x12"

    cpdef bytes encode(self, bytes value):
        cdef Pen pen = Pen()
        put_text(pen, self, value, len(value))
        return pen.take()


cdef class IntAttribute:
    def __init__(self, field, key):
        self._tag = varint(field << 3 | 2)
        self._key = delimited(1, text(key)) + b"\x12"

    cpdef bytes encode(self, object value):
        cdef Pen pen = Pen()
        pen.number(self, value)
        return pen.take()


cdef class Doubles:
    def __init__(self, field, *keys):
        values = delimited(2, b"\x21" + bytes(8))
        whole = [delimited(field, delimited(1, text(key)) + values) for key in keys]
        self.heads = [attribute[: len(attribute) - 8] for attribute in whole]


cdef char* put_text_head(Pen pen, TextAttribute a, Py_ssize_t size) except NULL:
    """All but the value: at most the tag, the key's part, four lengths. There is room for both."""
    cdef Py_ssize_t tag = PyBytes_GET_SIZE(a._tag), key = PyBytes_GET_SIZE(a._key)
    cdef Py_ssize_t string = 1 + varint_size(size) + size
    cdef char* to = room(pen, tag + key + 4 * LONGEST + size)
    memcpy(to, PyBytes_AS_STRING(a._tag), tag)
    to = put_varint(to + tag, key + varint_size(string) + string)
    memcpy(to, PyBytes_AS_STRING(a._key), key)
    to = put_varint(to + key, string)
    to[0] = 0x0A
    to = put_varint(to + 1, size)
    pen._used = to - pen._memory
    return to


cdef int put_text(Pen pen, TextAttribute a, const char* value, Py_ssize_t size) except -1:
    memcpy(put_text_head(pen, a, size), value, size)
    pen._used += size
    return 0


cdef class Pen:
    def __cinit__(self):
        self._memory = <char*>PyMem_Malloc(FIRST)
        if self._memory is NULL:
            raise MemoryError
        self._size = FIRST

    def __dealloc__(self):
        PyMem_Free(self._memory)

    cdef int _resize(self, Py_ssize_t size) except -1:
        cdef char* moved = <char*>PyMem_Realloc(self._memory, size)
        if moved is NULL:
            raise MemoryError
        self._memory, self._size = moved, size
        return 0

    cdef const char* utf8(self, object value, Py_ssize_t* size) except NULL:
        """`text(value)`, until this is called again or `value` goes."""
        if isinstance(value, str) and PyUnicode_IS_COMPACT_ASCII(value):
            size[0] = min(PyUnicode_GET_LENGTH(value), MOST)
            return <const char*>PyUnicode_DATA(value)
        # Of bytes no more than the first MOST + 4 count, ASCII or not.
        if isinstance(value, bytes) and is_ascii(
            PyBytes_AS_STRING(value), min(PyBytes_GET_SIZE(value), MOST + 4)
        ):
            size[0] = min(PyBytes_GET_SIZE(value), MOST)
            return PyBytes_AS_STRING(value)
        self._held = text(value)
        size[0] = PyBytes_GET_SIZE(self._held)
        return PyBytes_AS_STRING(self._held)

    cpdef clear(self):
        self._used = self._begun = 0
        if self._size > KEPT:
            self._resize(FIRST)

    cdef int _begin(self) except -1:
        room(self, GAP)
        self._used += GAP
        self._begun = self._used
        return 0

    cdef int _ids(self, unsigned char field, bytes trace_id, bytes span_id) except -1:
        """Fields `field` and the one after it: 2 + 16 + 2 + 8 bytes, if the ids are ids."""
        if len(trace_id) != 32 or len(span_id) != 16:  # whatever it is: as it is said in pen.py
            self.put(unhexlify(b"%02x10%b%02x08%b" % (field, trace_id, field + 8, span_id)))
            return 0
        cdef char* to = room(self, 28)
        # The spans of one exchange are of one trace.
        if trace_id is not self._trace:
            if not unhex(self._trace_bytes, PyBytes_AS_STRING(trace_id), 16):
                self._trace = None
                unhexlify(trace_id)  # which says what is wrong
            self._trace = trace_id
        to[0], to[1], to[18], to[19] = field, 16, field + 8, 8
        memcpy(to + 2, self._trace_bytes, 16)
        if not unhex(to + 20, PyBytes_AS_STRING(span_id), 8):
            unhexlify(span_id)
        self._used += 28
        return 0

    cpdef span(self, bytes trace_id, bytes span_id, bytes parent):
        self._begin()
        self._ids(0x0A, trace_id, span_id)
        if not parent:
            return
        if len(parent) != 16:
            self.put(unhexlify(b"2208" + parent))
            return
        cdef char* to = room(self, 10)
        to[0], to[1] = 0x22, 8
        if not unhex(to + 2, PyBytes_AS_STRING(parent), 8):
            unhexlify(parent)
        self._used += 10

    cpdef times(self, long long start, long long end, unsigned int flags, bytes block):
        cdef char* to = room(self, 24)
        to[0], to[9], to[18], to[19] = 0x39, 0x41, <char>0x85, 0x01
        memcpy(to + 1, &start, 8)
        memcpy(to + 10, &end, 8)
        memcpy(to + 20, &flags, 4)
        self._used += 24
        self.put(block)

    cpdef record(self, long long time, long long observed, unsigned int flags, bytes block):
        self._begin()
        cdef char* to = room(self, 23)
        to[0], to[9], to[18] = 0x09, 0x59, 0x45
        memcpy(to + 1, &time, 8)
        memcpy(to + 10, &observed, 8)
        memcpy(to + 19, &flags, 4)
        self._used += 23
        self.put(block)

    cpdef trace(self, bytes trace_id, bytes span_id):
        self._ids(0x4A, trace_id, span_id)

    cpdef put(self, bytes encoded):
        copy(self, encoded, len(encoded))

    cpdef text(self, TextAttribute attribute, object value):
        cdef Py_ssize_t size
        cdef const char* raw = self.utf8(value, &size)
        put_text(self, attribute, raw, size)

    cpdef url(self, TextAttribute attribute, bytes origin, str path, str query):
        cdef Py_ssize_t start = len(origin), middle = len(path), rest = len(query)
        cdef Py_ssize_t size = start + middle + (rest + 1 if rest else 0)
        if size > MOST or not (
            PyUnicode_IS_COMPACT_ASCII(path) and PyUnicode_IS_COMPACT_ASCII(query)
        ) or not is_ascii(origin, start):
            whole = origin + path.encode("utf-8", "replace")
            if rest:
                whole += b"?" + query.encode("utf-8", "replace")
            self.text(attribute, whole)
            return
        put_text_head(self, attribute, size)
        copy(self, origin, start)
        copy(self, <const char*>PyUnicode_DATA(path), middle)
        if rest:
            copy(self, b"?", 1)
            copy(self, <const char*>PyUnicode_DATA(query), rest)

    cpdef number(self, IntAttribute attribute, long long value):
        """At most the tag, the key's part and three lengths."""
        if value < 0:
            raise IndexError("a negative number")
        cdef Py_ssize_t tag = PyBytes_GET_SIZE(attribute._tag)
        cdef Py_ssize_t key = PyBytes_GET_SIZE(attribute._key)
        cdef int size = varint_size(value)
        cdef char* to = room(self, tag + key + 3 * LONGEST)
        memcpy(to, PyBytes_AS_STRING(attribute._tag), tag)
        to = put_varint(to + tag, key + 2 + size)
        memcpy(to, PyBytes_AS_STRING(attribute._key), key)
        to[key], to[key + 1] = 1 + size, 0x18
        self._used = put_varint(to + key + 2, value) - self._memory

    cpdef doubles(self, Doubles which, double a, double b=0.0, double c=0.0, double d=0.0):
        cdef double[4] values
        cdef Py_ssize_t place
        cdef bytes head
        values[0], values[1], values[2], values[3] = a, b, c, d
        for place in range(min(len(which.heads), 4)):
            head = <bytes>which.heads[place]
            copy(self, head, len(head))
            copy(self, <const char*>&values[place], 8)

    cpdef end(self):
        if self._begun < GAP:
            raise RuntimeError("no entry is under way")
        cdef Py_ssize_t size = self._used - self._begun
        cdef int length = varint_size(size)
        cdef char* content
        if length != GAP - 1:
            room(self, LONGEST)
            content = self._memory + self._begun
            memmove(content + length - GAP + 1, content, size)
            self._used += length - GAP + 1
        content = self._memory + self._begun - GAP
        content[0] = 0x12
        put_varint(content + 1, size)
        self._begun = 0

    cpdef line(self, bytes line):
        copy(self, line, len(line))

    cpdef bytes take(self):
        return PyBytes_FromStringAndSize(self._memory, self._used)

    cpdef pour(self, Window window, object lane, long long items):
        if window is None or not window.put(self._memory, self._used, items):
            lane.write(self.take(), items)
        self.clear()
