cimport cython
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from proxy.kernel.lane cimport Window


cpdef bytes varint(object number)
cpdef bytes delimited(object field, object payload)
cpdef bytes text(object value)


cdef class TextAttribute:
    cdef bytes _tag  # of the field
    cdef bytes _key  # tag, length and bytes of the key, and the value's tag
    cdef bytes _head  # all that precedes a value so short that each length is one byte:
    cdef Py_ssize_t _short  # which is not longer than that

    cpdef bytes encode(self, bytes value)


cdef class IntAttribute:
    cdef bytes _head  # with room for two lengths, of one byte each
    cdef Py_ssize_t _inner  # where the first of them is

    cpdef bytes encode(self, object value)


cdef class Doubles:
    cdef bytes _heads  # each with 8 bytes for its value behind it
    cdef int _count
    cdef Py_ssize_t[4] _places  # of the values


@cython.final
cdef class Pen:
    cdef char* _memory
    cdef Py_ssize_t _size, _used
    cdef Py_ssize_t _begun  # where the content of the entry under way begins
    cdef bytes _held  # the text that was encoded last, which a pointer may lead into
    cdef bytes _trace_id  # the trace id that was written last,
    cdef char[16] _trace  # and what it stands for

    cpdef clear(self)
    cpdef span(
        self, bytes trace_id, bytes span_id, bytes parent,
        long long start, long long end, unsigned int flags,
    )
    cpdef record(self, long long time, long long observed, unsigned int flags, bytes block)
    cpdef trace(self, bytes trace_id, bytes span_id)
    cpdef put(self, bytes encoded)
    cpdef text(self, TextAttribute attribute, object value)
    cpdef url(self, TextAttribute attribute, bytes origin, str path, str query)
    cpdef number(self, IntAttribute attribute, long long value)
    cpdef doubles(self, Doubles which, double a, double b=*, double c=*, double d=*)
    cpdef end(self)
    cpdef line(self, bytes line)
    cpdef bytes take(self)
    cpdef pour(self, Window window, object lane, long long items)

    cdef int _resize(self, Py_ssize_t size) except -1
    cdef const char* utf8(self, object value, Py_ssize_t* size) except NULL
    cdef int _begin(self) except -1
    cdef int _ids(self, char field, bytes trace_id, bytes span_id) except -1
    cdef int _span_id(self, char field, bytes span_id) except -1


cdef inline char* room(Pen pen, Py_ssize_t size) except NULL:
    """Where the next bytes go; `size` of them fit. `_used` is the caller's to move on."""
    if size > pen._size - pen._used:
        pen._resize(pen._used + size + pen._size)
    return pen._memory + pen._used


cdef inline int copy(Pen pen, const char* value, Py_ssize_t size) except -1:
    memcpy(room(pen, size), value, size)
    pen._used += size
    return 0


cdef inline bint is_ascii(const char* value, Py_ssize_t size) noexcept nogil:
    cdef uint64_t word
    cdef Py_ssize_t at = 0
    while at + 8 <= size:
        memcpy(&word, value + at, 8)
        if word & <uint64_t>0x8080808080808080ULL:
            return False
        at += 8
    while at < size:
        if value[at] & 0x80:
            return False
        at += 1
    return True


cdef inline char* put_varint(char* to, uint64_t number) noexcept nogil:
    """At most 10 bytes; the place behind them."""
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
