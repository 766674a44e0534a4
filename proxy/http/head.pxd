cimport cython

from proxy.kernel.scan cimport Lines

@cython.freelist(32)
@cython.no_gc
cdef class RequestHead:
    cdef public str method, path, query, tail, authority, version
    cdef public bytes _target  # "": path and tail
    cdef public Lines lines  # None: the lines are in the list `_pairs`
    cdef public list _pairs
    cdef public dict fields
    cdef public long long seen  # headers.bits() of the names in `fields`; -1 = nobody has looked
    cdef public object length
    cdef public bint keep_alive

    cpdef bytes get(self, bytes name)
    cpdef remove(self, names)

@cython.freelist(32)
@cython.no_gc
cdef class ResponseHead:
    cdef public int status
    cdef public bytes reason
    cdef public str version
    cdef public Lines lines
    cdef public list _pairs
    cdef public dict fields
    cdef public long long seen
    cdef public bint dated, keep_alive
    cdef public object length

    cpdef bytes get(self, bytes name)
    cpdef remove(self, names)
    cpdef drop(self, bytes name)

@cython.locals(head=RequestHead)
cpdef RequestHead scanned_request(Lines lines)

@cython.locals(head=ResponseHead)
cpdef ResponseHead scanned_response(Lines lines)
