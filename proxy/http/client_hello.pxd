cimport cython

cdef class ClientHello:
    cdef public object server_name
    cdef public tuple alpn

cdef class _Reader:
    cdef Py_ssize_t _at
    cdef bytes _data

    cpdef bint more(self)
    cpdef bytes skip(self, Py_ssize_t size)
    cpdef Py_ssize_t number(self, Py_ssize_t size) except -1
    cpdef bytes vector(self, Py_ssize_t prefix)
    cpdef done(self)

@cython.locals(message=_Reader, extensions=_Reader, kind=Py_ssize_t, said=bytes)
cpdef ClientHello client_hello(bytes data)
@cython.locals(message=bytes, at=Py_ssize_t, size=Py_ssize_t, whole=Py_ssize_t)
cdef bytes _handshake(bytes data)
cdef _check_record(bytes head)
cdef _server_name(_Reader names)
cdef tuple _protocols(_Reader said)
