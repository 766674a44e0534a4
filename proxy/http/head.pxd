cimport cython

from proxy.kernel.scan cimport Head, Lines

cdef class RequestHead(Head):
    cdef public str method, path, query, tail, authority, scheme, version, protocol, listener
    cdef public bytes _target  # "": path and tail
    cdef public list _pairs
    cdef public long long seen  # headers.bits() of the names in `fields`; -1 = nobody has looked
    cdef public object length
    cdef public frozenset never_indexed
    cdef public bint is_h2, keep_alive

    cpdef begin(self)
    cpdef bytes get(self, bytes name)
    cpdef remove(self, names)

cdef class ResponseHead(Head):
    cdef public int status
    cdef public bytes reason
    cdef public str version
    cdef public list _pairs
    cdef public long long seen
    cdef public bint dated, is_h2, keep_alive
    cdef public object length
    cdef public frozenset never_indexed

    cpdef begin(self)
    cpdef bytes get(self, bytes name)
    cpdef remove(self, names)
    cpdef drop(self, bytes name)

@cython.locals(head=RequestHead)
cpdef RequestHead scanned_request(Lines lines)

@cython.locals(head=ResponseHead)
cpdef ResponseHead scanned_response(Lines lines)

@cython.locals(size=Py_ssize_t, n=bytes, value=bytes, found=list)
cdef bytes _joined(lines, bytes name)
