cimport cython

from proxy.http.head cimport RequestHead, ResponseHead, scanned_request, scanned_response
from proxy.http.headers cimport bits
from proxy.kernel.scan cimport Lines, scan_request, scan_response

cdef long long _DATED, _UNSURE, _WITH_UNDERSCORE
cdef bint _SCANS
cdef int _MOST_FIELDS

cdef class RequestReader:
    cdef object _parser, _append
    cdef RequestHead _head
    cdef dict _fields
    cdef long long _underscored

    @cython.locals(lines=Lines, head=RequestHead, seen=cython.longlong, method=bytes)
    cpdef RequestHead read(self, bytes data, int most=*)
    cdef RequestHead _scanned(self, Lines lines, int most)
    cpdef bint has_underscores(self)

cdef class ResponseReader:
    cdef object _parser, _append
    cdef ResponseHead _head
    cdef dict _fields
    cdef bint _complete
    cdef long long _noticed

    @cython.locals(lines=Lines, head=ResponseHead, old=cython.longlong)
    cpdef ResponseHead read(self, bytes data)

@cython.locals(line_end=Py_ssize_t)
cpdef Py_ssize_t check_partial(bytes data, Py_ssize_t seen, object limits)
cpdef check_partial_answer(bytes data)
