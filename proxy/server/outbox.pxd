cimport cython

from proxy.kernel.write cimport chunk

cdef int _LARGE, _SMALL

cdef class Outbox:
    cdef public list _waiting

    cpdef put(self, transport, bytes data)
    cpdef put_last(self, transport, bytes data)
    cpdef put_chunk(self, transport, bytes data, bint last=*)
    @cython.locals(before=bytes)
    cpdef put_more(self, transport, bytes data)
    cpdef long long waiting(self, transport)
    cpdef flush(self)
