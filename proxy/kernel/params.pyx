"""Names: looks at each parameter's name where it stands. What it may answer is said in params.py.

Reads no further than the query's own length.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    void* PyUnicode_DATA(object)


cdef class Names:
    def __init__(self, names):
        # One that is not ASCII is in no query that is; in others it is looked for by who asks.
        self._names = [name.encode("ascii") for name in names if name.isascii()]

    cpdef bint may_be_in(self, str query):
        if not PyUnicode_IS_COMPACT_ASCII(query):
            return True
        cdef const char* text = <const char*>PyUnicode_DATA(query)
        cdef Py_ssize_t size = len(query), begun = 0, at
        cdef bint named = False  # an equals sign has ended the name of this pair
        for at in range(size):
            if text[at] == b"&":
                begun = at + 1
                named = False
            elif named:
                continue
            elif text[at] == b"=":
                if self._is_one(text + begun, at - begun):
                    return True
                named = True
            elif text[at] == b"%":
                return True
        return False

    cdef bint _is_one(self, const char* name, Py_ssize_t size) except -1:
        cdef bytes known
        for known in self._names:
            if PyBytes_GET_SIZE(known) == size and not memcmp(PyBytes_AS_STRING(known), name, size):
                return True
        return False
