# cython: boundscheck=False, wraparound=False, nonecheck=False, initializedcheck=False
# cython: cdivision=True
"""Pen: one piece of memory that grows. The rules are in pen.py.

Every byte goes through `room`, which makes sure that as many as are asked for fit behind what is
there; each caller states next to it how many it writes at most. Nothing keeps a pointer into the
memory across another call of `room`.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memmove

from proxy.kernel.lane cimport Window

cdef extern from *:
    """
    #if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "fixed64 and double are copied as they lie in memory"
    #endif

    typedef unsigned char Digits __attribute__((vector_size(16)));
    typedef unsigned short Pairs __attribute__((vector_size(16)));
    typedef unsigned char Bytes __attribute__((vector_size(8)));

    /* 8 bytes from 16 hexadecimal digits; 0 if one is none. In vectors, since digit by digit took
       300 instructions more a request. */
    static int unhex16(char *to, const char *from) {
        Digits digits;
        unsigned long long known[2];
        memcpy(&digits, from, 16);
        Digits letter = (Digits)((digits | 0x20) - 'a' < 6);
        Digits valid = (Digits)(digits - '0' < 10) | letter;
        Pairs values = (Pairs)((digits & 15) + (letter & 9));
        Bytes bytes = __builtin_convertvector((values << 4 | values >> 8) & 0xff, Bytes);
        memcpy(to, &bytes, 8);
        memcpy(known, &valid, 16);
        return (known[0] & known[1]) == ~0ULL;
    }
    """
    bint unhex16(char* to, const char* digits) noexcept nogil

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
        self._head = self._tag + b"\0" + self._key + b"\0\x0a\0"
        self._short = 127 - len(self._key) - 3

    cpdef bytes encode(self, bytes value):
        cdef Pen pen = Pen()
        put_text(pen, self, value, len(value))
        return pen.take()


cdef class IntAttribute:
    def __init__(self, field, key):
        tag, name = varint(field << 3 | 2), delimited(1, text(key)) + b"\x12"
        if len(name) + 2 + LONGEST > 127:
            raise ValueError("the key is too long")
        self._head = tag + b"\0" + name + b"\0\x18"
        self._inner = len(tag)

    cpdef bytes encode(self, object value):
        cdef Pen pen = Pen()
        pen.number(self, value)
        return pen.take()


cdef class Doubles:
    def __init__(self, field, *keys):
        value = delimited(2, b"\x21" + bytes(8))
        self._heads = b""
        for key in keys[:4]:
            self._heads += delimited(field, delimited(1, text(key)) + value)
            self._places[self._count] = len(self._heads) - 8
            self._count += 1


cdef char* put_text_head(Pen pen, TextAttribute a, Py_ssize_t size) except NULL:
    """All but the value: at most the tag, the key's part, four lengths. There is room for both."""
    if a is None:
        raise TypeError("no attribute")
    cdef Py_ssize_t tag = PyBytes_GET_SIZE(a._tag), key = PyBytes_GET_SIZE(a._key), string
    cdef char* to = room(pen, tag + key + 4 * LONGEST + size)
    if size <= a._short:  # nearly all: 60 instructions less
        memcpy(to, PyBytes_AS_STRING(a._head), tag + key + 4)
        to[tag] = <char>(key + 3 + size)
        to[tag + 1 + key] = <char>(size + 2)
        to[tag + key + 3] = <char>size
        pen._used += tag + key + 4
        return to + tag + key + 4
    string = 1 + varint_size(size) + size
    memcpy(to, PyBytes_AS_STRING(a._tag), tag)
    to = put_varint(to + tag, key + varint_size(string) + string)
    memcpy(to, PyBytes_AS_STRING(a._key), key)
    to = put_varint(to + key, string)
    to[0] = 0x0A
    to = put_varint(to + 1, size)
    pen._used = to - pen._memory
    return to


cdef inline int put_text(Pen pen, TextAttribute a, const char* value, Py_ssize_t size) except -1:
    memcpy(put_text_head(pen, a, size), value, size)
    pen._used += size
    return 0


@cython.final
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

    cdef int _ids(self, char field, bytes trace_id, bytes span_id) except -1:
        """Fields `field` and the one after it: 2 + 16 + 2 + 8 bytes, if the ids are ids."""
        cdef char* to
        cdef const char* digits
        if trace_id is not self._trace_id:  # the spans of one exchange are of one trace
            if len(trace_id) != 32:
                raise ValueError("no trace id")
            self._trace_id = None
            digits = PyBytes_AS_STRING(trace_id)
            if not unhex16(self._trace, digits) or not unhex16(self._trace + 8, digits + 16):
                raise ValueError("no trace id")
            self._trace_id = trace_id
        to = room(self, 18)
        to[0], to[1] = field, 16
        memcpy(to + 2, self._trace, 16)
        self._used += 18
        return self._span_id(field + 8, span_id)

    cdef int _span_id(self, char field, bytes span_id) except -1:
        """10 bytes."""
        cdef char* to = room(self, 10)
        to[0], to[1] = field, 8
        if len(span_id) != 16 or not unhex16(to + 2, PyBytes_AS_STRING(span_id)):
            raise ValueError("no span id")
        self._used += 10
        return 0

    cpdef span(
        self, bytes trace_id, bytes span_id, bytes parent,
        long long start, long long end, unsigned int flags,
    ):
        self._begin()
        self._ids(0x0A, trace_id, span_id)
        if parent:
            self._span_id(0x22, parent)
        cdef char* to = room(self, 24)
        to[0], to[9], to[18], to[19] = 0x39, 0x41, <char>0x85, 0x01
        memcpy(to + 1, &start, 8)
        memcpy(to + 10, &end, 8)
        memcpy(to + 20, &flags, 4)
        self._used += 24

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
        cdef const char* raw
        if isinstance(value, str) and PyUnicode_IS_COMPACT_ASCII(value):  # as in utf8()
            size = min(PyUnicode_GET_LENGTH(value), MOST)
            put_text(self, attribute, <const char*>PyUnicode_DATA(value), size)
        else:
            raw = self.utf8(value, &size)
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
        """At most the attribute's head and a varint."""
        if attribute is None or value < 0:
            raise IndexError("a negative number")
        cdef Py_ssize_t head = PyBytes_GET_SIZE(attribute._head), inner = attribute._inner
        cdef char* begun = room(self, head + LONGEST)
        memcpy(begun, PyBytes_AS_STRING(attribute._head), head)
        cdef char* to = put_varint(begun + head, value)
        begun[head - 2] = <char>(to - begun - head + 1)
        begun[inner] = <char>(to - begun - inner - 1)
        self._used = to - self._memory

    cpdef doubles(self, Doubles which, double a, double b=0.0, double c=0.0, double d=0.0):
        if which is None:
            raise TypeError("no attributes")
        cdef double[4] values
        cdef int value
        cdef char* to = room(self, PyBytes_GET_SIZE(which._heads))
        values[0], values[1], values[2], values[3] = a, b, c, d
        memcpy(to, PyBytes_AS_STRING(which._heads), PyBytes_GET_SIZE(which._heads))
        for value in range(which._count):
            memcpy(to + which._places[value], &values[value], 8)
        self._used += PyBytes_GET_SIZE(which._heads)

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
