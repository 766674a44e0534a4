from proxy.http.head cimport RequestHead, ResponseHead

cdef class RequestReader:
    cdef object _parser, _append
    cdef RequestHead _head
    cdef dict _fields
    cdef bint _complete, _underscored

    cpdef RequestHead read(self, bytes data, int most=*)
    cpdef RequestHead _parse(self, bytes data)
    cpdef bint has_underscores(self)

cdef class ResponseReader:
    cdef object _parser, _append
    cdef ResponseHead _head
    cdef dict _fields
    cdef bint _complete

    cpdef ResponseHead read(self, bytes data)
    cpdef ResponseHead _parse(self, bytes data)
