"""Trace and span ids as hexadecimal digits: their reading, writing and making, in C.

The rules are those of `hexes.py`, its twin. Nothing here keeps a pointer into a bytes object for
longer than the call that holds the object, and every write goes into an object of exactly the
size that is written, which is a constant of the format.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from proxy.kernel.chance cimport Chance

cdef extern from *:
    """
    /* The low `size` bytes of an int, most significant first; -1 and OverflowError if it has more
       or is negative. */
    #if PY_VERSION_HEX >= 0x030D0000
    static int spangate_int_bytes(PyObject *number, unsigned char *to, Py_ssize_t size) {
        Py_ssize_t needed = PyLong_AsNativeBytes(number, to, size,
            Py_ASNATIVEBYTES_BIG_ENDIAN | Py_ASNATIVEBYTES_UNSIGNED_BUFFER
            | Py_ASNATIVEBYTES_REJECT_NEGATIVE);
        if (needed <= size) return needed < 0 ? -1 : 0;
        PyErr_SetString(PyExc_OverflowError, "int too big to convert");
        return -1;
    }
    #else
    static int spangate_int_bytes(PyObject *number, unsigned char *to, Py_ssize_t size) {
        if (PyLong_Check(number))
            return _PyLong_AsByteArray((PyLongObject *)number, to, (size_t)size, 0, 0);
        PyErr_SetString(PyExc_TypeError, "an int is required");
        return -1;
    }
    #endif
    """
    int spangate_int_bytes(object number, uint8_t* to, Py_ssize_t size) except -1

cdef bytes NEXT_TO_NONE = b"0000000000000001"
cdef char PAIRS[512]     # the two digits of each byte

cdef void fill_pairs() noexcept:
    cdef int i
    cdef const char* digits = b"0123456789abcdef"
    for i in range(256):
        PAIRS[2 * i] = digits[i >> 4]
        PAIRS[2 * i + 1] = digits[i & 15]

fill_pairs()


cdef inline uint64_t not_hex(const uint8_t* p) noexcept nogil:
    """0 if the 8 bytes at `p` are all lower-case hexadecimal digits.

    All at once: each byte of `x` below stays under 0x80, so that no sum or difference reaches the
    byte beside it. A byte is below 0x30 if adding 0x50 does not set its high bit, and so on.
    """
    cdef uint64_t x, high, digit, letter
    memcpy(&x, p, 8)
    high = x & 0x8080808080808080ULL
    x &= 0x7F7F7F7F7F7F7F7FULL
    digit = (x + 0x5050505050505050ULL) & ~(x + 0x4646464646464646ULL)   # 0x30 to 0x39
    letter = (x + 0x1F1F1F1F1F1F1F1FULL) & ~(x + 0x1919191919191919ULL)  # 0x61 to 0x66
    return high | (~(digit | letter) & 0x8080808080808080ULL)


cdef inline bint is_digit(uint8_t c) noexcept nogil:
    return 48 <= c <= 57 or 97 <= c <= 102


cdef inline bint all_zero(const uint8_t* p, Py_ssize_t size) noexcept nogil:
    """`size` is a multiple of 8."""
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    while i < size:
        memcpy(&word, p + i, 8)
        if word != 0x3030303030303030ULL:
            return False
        i += 8
    return True


cpdef tuple split_parent(bytes header):
    cdef const uint8_t* p
    cdef int flags
    if header is None or PyBytes_GET_SIZE(header) != 55:
        return None
    # 55 bytes are there, and nothing below looks at another.
    p = <const uint8_t*>PyBytes_AS_STRING(header)
    if p[0] != c"0" or p[1] != c"0" or p[2] != c"-" or p[35] != c"-" or p[52] != c"-":
        return None
    if not_hex(p + 3) | not_hex(p + 11) | not_hex(p + 19) | not_hex(p + 27):
        return None
    if not_hex(p + 36) | not_hex(p + 44) or not (is_digit(p[53]) and is_digit(p[54])):
        return None
    if all_zero(p + 3, 32) or all_zero(p + 36, 16):
        return None
    flags = value_of(p[53]) << 4 | value_of(p[54])
    return (
        PyBytes_FromStringAndSize(<const char*>p + 3, 32),
        PyBytes_FromStringAndSize(<const char*>p + 36, 16),
        flags,
    )


cdef inline int value_of(uint8_t digit) noexcept nogil:
    return digit - 48 if digit < 58 else digit - 87


cpdef list parent_fields(bytes trace_id, bytes span_id, int flags, bytes state):
    cdef Py_ssize_t trace, span
    cdef bytes made
    cdef char* o
    if trace_id is None or span_id is None or state is None:
        raise TypeError("bytes are required")
    trace, span = PyBytes_GET_SIZE(trace_id), PyBytes_GET_SIZE(span_id)
    made = PyBytes_FromStringAndSize(NULL, 7 + trace + span)  # "00-", "-", "-" and two digits
    o = PyBytes_AS_STRING(made)
    memcpy(o, b"00-", 3)
    memcpy(o + 3, PyBytes_AS_STRING(trace_id), trace)
    o += 3 + trace
    o[0] = c"-"
    memcpy(o + 1, PyBytes_AS_STRING(span_id), span)
    o += 1 + span
    o[0] = c"-"
    memcpy(o + 1, PAIRS + 2 * (flags & 255), 2)
    if PyBytes_GET_SIZE(state) == 0:
        return [(b"traceparent", made)]
    return [(b"traceparent", made), (b"tracestate", state)]


cpdef bint is_hex(bytes value, Py_ssize_t digits) except -1:
    if value is None:
        raise TypeError("bytes are required")
    if PyBytes_GET_SIZE(value) != digits:
        return False
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(value)
    cdef Py_ssize_t i
    for i in range(digits):
        if not is_digit(p[i]):
            return False
    return True


cpdef bint reaches(bytes trace_id, bytes bound) except -1:
    cdef Py_ssize_t size, most, shorter
    cdef int order
    if trace_id is None or bound is None:
        raise TypeError("bytes are required")
    size = PyBytes_GET_SIZE(trace_id)
    most = PyBytes_GET_SIZE(bound)
    cdef const char* tail = PyBytes_AS_STRING(trace_id)
    if size > 14:
        tail += size - 14
        size = 14
    shorter = size if size < most else most
    order = memcmp(tail, PyBytes_AS_STRING(bound), shorter)
    return order > 0 or (order == 0 and size >= most)


cdef bytes drawn(object getrandbits, int size, bint never_zero):
    """`size` random bytes, 8 or 16, as digits."""
    cdef uint8_t raw[16]
    cdef uint64_t words[2]
    cdef bytes made
    cdef char* o
    cdef int i
    if type(getrandbits) is Chance:  # 600 instructions less than an int
        words[0] = (<Chance>getrandbits).next()
        words[1] = (<Chance>getrandbits).next() if size == 16 else 0
        memcpy(raw, words, 16)
    else:
        words[0] = words[1] = 0
        spangate_int_bytes(getrandbits(8 * size), raw, size)
        memcpy(words, raw, size)
    if never_zero and (words[0] | words[1]) == 0:
        raw[size - 1] = 1
    made = PyBytes_FromStringAndSize(NULL, 2 * size)
    o = PyBytes_AS_STRING(made)
    for i in range(size):
        memcpy(o + 2 * i, PAIRS + 2 * raw[i], 2)
    return made


cpdef bytes trace_id(object getrandbits):
    return drawn(getrandbits, 16, True)


cpdef bytes request_id(object getrandbits):
    return drawn(getrandbits, 16, False)


cpdef bytes span_id(object getrandbits):
    return drawn(getrandbits, 8, True)


cpdef bytes span_of(bytes request_id):
    cdef const uint8_t* p
    if request_id is None or PyBytes_GET_SIZE(request_id) != 32:
        raise ValueError("not 32 digits")
    p = <const uint8_t*>PyBytes_AS_STRING(request_id) + 16
    return PyBytes_FromStringAndSize(<const char*>p, 16) if not all_zero(p, 16) else NEXT_TO_NONE
