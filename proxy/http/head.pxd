cdef class RequestHead:
    cdef public str method, path, query, tail, authority, version
    cdef public bytes target
    cdef public list pairs
    cdef public dict fields
    cdef public object length
    cdef public bint keep_alive

    cpdef bytes get(self, bytes name)

cdef class ResponseHead:
    cdef public int status
    cdef public bytes reason
    cdef public str version
    cdef public list pairs
    cdef public dict fields
    cdef public bint dated, keep_alive
    cdef public object length

    cpdef bytes get(self, bytes name)
    cpdef drop(self, bytes name)
