"""Heads and chunks to bytes, in C: runs of lines are copied as they came.

The rules are those of `write.py`, its twin. Bounds: a head is written into one new object for which
the most that it can take was counted before; what is left over is cut off at the end. Nothing
between counting and writing runs Python code, so that no list and no `Lines` can have changed, and
what is read of `data` lies between offsets that the scanner found there (`scan.pyx`).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_CheckExact
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from proxy.kernel.scan cimport PASSED, Line, Lines

cdef extern from *:
    """
    /* The characters of a str that is ASCII alone, which is what they are kept as; else NULL. */
    static inline const char *spangate_ascii(PyObject *text, Py_ssize_t *size) {
        if (!PyUnicode_IS_COMPACT_ASCII(text)) return NULL;
        *size = PyUnicode_GET_LENGTH(text);
        return (const char *)PyUnicode_DATA(text);
    }
    /* Let a new bytes object end at `end`. It keeps its memory, for it lives as long as a write:
       _PyBytes_Resize would cost 200 instructions. */
    static inline void spangate_cut(PyObject *made, char *end) {
        Py_SET_SIZE((PyVarObject *)made, end - PyBytes_AS_STRING(made));
        *end = 0;
    }
    """
    const char* spangate_ascii(object text, Py_ssize_t* size) noexcept
    void spangate_cut(object made, char* end) noexcept

LAST_CHUNK = b"0\r\n\r\n"

cdef enum:
    MOST_NAMES = 16  # removed ones that lines are compared with; with more a set is asked

cdef struct Names:
    int count       # -1: there are more than fit, ask `all`
    PyObject* all   # the set, which keeps what `at` points to
    PyObject* at[MOST_NAMES]


cdef int collect(Names* names, frozenset removed) except -1:
    names.count = 0
    names.all = <PyObject*>removed
    if removed is None:
        return 0
    for name in removed:
        if not PyBytes_CheckExact(name):  # whose comparison runs no Python code
            raise TypeError("names are bytes")
        if names.count < MOST_NAMES:
            names.at[names.count] = <PyObject*>name
            names.count += 1
    if len(removed) > MOST_NAMES:
        names.count = -1
    return 0


cdef inline bint same(const uint8_t* name, const uint8_t* low, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint8_t c
    for i in range(size):
        c = name[i]
        if 65 <= c <= 90:
            c += 32
        if c != low[i]:
            return False
    return True


cdef int is_removed(const uint8_t* name, Py_ssize_t size, Names* names) except -1:
    cdef int i
    if names.count < 0:
        return PyBytes_FromStringAndSize(<const char*>name, size).lower() in <frozenset>names.all
    for i in range(names.count):
        low = <object>names.at[i]
        if PyBytes_GET_SIZE(low) == size:
            if same(name, <const uint8_t*>PyBytes_AS_STRING(low), size):
                return 1
    return 0


cdef inline bint is_usual(const uint8_t* data, const Line* line) noexcept nogil:
    """Whether a line says "name: value" by the letter, so that it may be copied."""
    return line.value == line.name_end + 2 and data[line.name_end + 1] == c" "


cdef inline Py_ssize_t most_of_lines(Lines came) noexcept:
    """Lines do not overlap, and one that is not copied grows by a blank at most (`put_line`)."""
    if came.count == 0:
        return 0
    return came.at[came.count - 1].end - came.at[0].start + came.count


cdef inline char* put(char* o, const void* data, Py_ssize_t size) noexcept nogil:
    memcpy(o, data, size)
    return o + size


cdef inline char* put_line(char* o, const uint8_t* data, const Line* line) noexcept nogil:
    """A line that does not say "name: value" by the letter: its value begins behind the colon, so
    that at most the blank is more than came."""
    o = put(o, data + line.start, line.name_end - line.start)
    o = put(o, b": ", 2)
    return put(o, data + line.value, line.end - line.value)


cdef char* put_lines(char* o, Lines came, Names* names) except NULL:
    """The lines that are passed on and not among `names`, those that stand together at once."""
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(came.data)
    cdef const Line* line = came.at
    cdef const Line* end = line + came.count
    cdef uint32_t run = 0, run_end = 0
    while line < end:
        if line.kind == PASSED and not (
            names.count != 0 and is_removed(data + line.start, line.name_end - line.start, names)
        ):
            if not is_usual(data, line):
                o = put(o, data + run, run_end - run)
                run = run_end = line.end
                o = put_line(o, data, line)
            elif line.start == run_end:
                run_end = line.end
            else:
                o = put(o, data + run, run_end - run)
                run, run_end = line.start, line.end
        line += 1
    return put(o, data + run, run_end - run)


cdef Py_ssize_t size_of_pairs(list pairs) except -1:
    """What they take if none is removed; TypeError for what is no pair of bytes."""
    cdef Py_ssize_t i, size = 0
    cdef PyObject* pair
    cdef PyObject* name
    cdef PyObject* value
    for i in range(PyList_GET_SIZE(pairs)):
        pair = PyList_GET_ITEM(pairs, i)
        if not PyTuple_CheckExact(<object>pair) or PyTuple_GET_SIZE(<object>pair) != 2:
            raise TypeError("a line is a pair of bytes")
        name, value = PyTuple_GET_ITEM(<object>pair, 0), PyTuple_GET_ITEM(<object>pair, 1)
        if not (PyBytes_Check(<object>name) and PyBytes_Check(<object>value)):
            raise TypeError("a line is a pair of bytes")
        size += PyBytes_GET_SIZE(<object>name) + PyBytes_GET_SIZE(<object>value) + 4
    return size


cdef char* put_pairs(char* o, list pairs, Names* names) except NULL:
    cdef Py_ssize_t i, size
    cdef const char* name
    cdef PyObject* pair
    for i in range(PyList_GET_SIZE(pairs)):
        pair = PyList_GET_ITEM(pairs, i)  # of two bytes: `size_of_pairs` looked
        name = PyBytes_AS_STRING(<object>PyTuple_GET_ITEM(<object>pair, 0))
        size = PyBytes_GET_SIZE(<object>PyTuple_GET_ITEM(<object>pair, 0))
        if names is not NULL and names.count != 0:
            if is_removed(<const uint8_t*>name, size, names):
                continue
        o = put(put(o, name, size), b": ", 2)
        name = PyBytes_AS_STRING(<object>PyTuple_GET_ITEM(<object>pair, 1))
        size = PyBytes_GET_SIZE(<object>PyTuple_GET_ITEM(<object>pair, 1))
        o = put(put(o, name, size), b"\r\n", 2)
    return o


cpdef bytes write_head(
    bytes start, object came, frozenset removed, list added, list more, bytes framing
):
    cdef Names names
    cdef Py_ssize_t most
    cdef bytes made
    cdef char* o
    cdef bint is_scanned = type(came) is Lines
    if start is None or added is None or more is None or framing is None:
        raise TypeError("None is no part of a head")
    if not is_scanned and type(came) is not list:
        raise TypeError("lines are Lines or a list of pairs")
    collect(&names, removed)
    most = most_of_lines(<Lines>came) if is_scanned else size_of_pairs(<list>came)
    most += size_of_pairs(added) + size_of_pairs(more)
    most += PyBytes_GET_SIZE(start) + 2 + PyBytes_GET_SIZE(framing) + 2
    made = PyBytes_FromStringAndSize(NULL, most)
    o = put(PyBytes_AS_STRING(made), PyBytes_AS_STRING(start), PyBytes_GET_SIZE(start))
    o = put(o, b"\r\n", 2)
    o = put_lines(o, <Lines>came, &names) if is_scanned else put_pairs(o, <list>came, &names)
    o = put_pairs(put_pairs(o, added, NULL), more, NULL)
    o = put(o, PyBytes_AS_STRING(framing), PyBytes_GET_SIZE(framing))
    o = put(o, b"\r\n", 2)
    spangate_cut(made, o)
    return made


cpdef bytes request_start(str method, str target, str authority):
    cdef Py_ssize_t a, b, c
    cdef bytes made
    cdef char* o
    if method is None or target is None or authority is None:
        raise TypeError("a str is required")
    cdef const char* verb = spangate_ascii(method, &a)
    cdef const char* path = spangate_ascii(target, &b)
    cdef const char* host = spangate_ascii(authority, &c)
    if verb is NULL or path is NULL or host is NULL:
        return f"{method} {target} HTTP/1.1\r\nhost: {authority}".encode("ascii")  # raises
    made = PyBytes_FromStringAndSize(NULL, a + 1 + b + 17 + c)
    o = PyBytes_AS_STRING(made)
    memcpy(o, verb, a)
    o[a] = c" "
    memcpy(o + a + 1, path, b)
    o += a + 1 + b
    memcpy(o, b" HTTP/1.1\r\nhost: ", 17)
    memcpy(o + 17, host, c)
    return made


cpdef bytes chunk(bytes before, bytes data, bint last):
    """`data` as one chunk, behind `before` and followed by the end of the body if it is `last`."""
    cdef char digits[16]  # a size has 64 bits at most
    cdef int count = 0
    cdef Py_ssize_t first, size
    cdef uint64_t left
    if before is None or data is None:
        raise TypeError("bytes are required")
    first, size = PyBytes_GET_SIZE(before), PyBytes_GET_SIZE(data)
    left = size
    while left or count == 0:
        count += 1
        digits[16 - count] = b"0123456789abcdef"[left & 15]
        left >>= 4
    cdef bytes made = PyBytes_FromStringAndSize(NULL, first + count + size + 4 + (5 if last else 0))
    cdef char* o = PyBytes_AS_STRING(made)
    memcpy(o, PyBytes_AS_STRING(before), first)
    o += first
    memcpy(o, digits + 16 - count, count)
    memcpy(o + count, b"\r\n", 2)
    o += count + 2
    memcpy(o, PyBytes_AS_STRING(data), size)
    memcpy(o + size, b"\r\n", 2)
    if last:
        memcpy(o + size + 2, b"0\r\n\r\n", 5)
    return made
