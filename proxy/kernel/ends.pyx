# cython: cdivision=True
"""Where a head ends, and the line that says how long a body is; ends.py is the twin."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memchr, memcpy


BLANK = b"\r\n\r\n"


cpdef Py_ssize_t find_blank(bytes data, bytes blank, Py_ssize_t start) except -2:
    """Where `blank`, which is BLANK, begins in `data` at `start` or later; -1 = nowhere.

    `start` is at least 0. Reads data[start:] alone: each LF that is found has three bytes before it
    in there.
    """
    cdef const char* begin = PyBytes_AS_STRING(data)
    cdef const char* end = begin + PyBytes_GET_SIZE(data)
    cdef const char* at = begin + start + 3
    while at < end:
        at = <const char*>memchr(at, 10, end - at)
        if at == NULL:
            return -1
        if memcmp(at - 3, b"\r\n\r", 3) == 0:
            return at - 3 - begin
        at += 1
    return -1


cdef const char* NAME = b"content-length: "


cpdef bytes length_line(long long length):
    """Content-Length as a line (RFC 9110 §8.6); `length` is not negative."""
    cdef char text[16 + 19 + 2]  # the name, the digits of the longest number, CRLF
    cdef char* at = text + sizeof(text)
    cdef char* end = at
    if length < 0:
        raise ValueError("no length is negative")
    at -= 2
    memcpy(at, b"\r\n", 2)
    while True:
        at -= 1
        at[0] = <char>(48 + length % 10)
        length //= 10
        if length == 0:
            break
    at -= 16
    memcpy(at, NAME, 16)
    return PyBytes_FromStringAndSize(at, end - at)


cpdef bytes joined(bytes first, bytes second):
    """Both in one object. It writes the two sizes that it asked room for."""
    if first is None or second is None:
        raise TypeError("bytes are required")
    cdef Py_ssize_t size = PyBytes_GET_SIZE(first), more = PyBytes_GET_SIZE(second)
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size + more)
    cdef char* o = PyBytes_AS_STRING(made)
    memcpy(o, PyBytes_AS_STRING(first), size)
    memcpy(o + size, PyBytes_AS_STRING(second), more)
    return made


cpdef bytes behind(bytes data, bytes before):
    """What follows in `data` on `before`, with which it begins."""
    if data is None or before is None:
        raise TypeError("bytes are required")
    cdef Py_ssize_t size = PyBytes_GET_SIZE(before), whole = PyBytes_GET_SIZE(data)
    if size > whole:
        raise ValueError("it does not begin with that")
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + size, whole - size)


cpdef bytes upto(bytes data, Py_ssize_t end):
    """The first `end` bytes, which there must be; the object itself if these are all."""
    if data is None:
        raise TypeError("bytes are required")
    if end == PyBytes_GET_SIZE(data):
        return data
    if end < 0 or end > PyBytes_GET_SIZE(data):
        raise ValueError("there are fewer bytes")
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), end)
