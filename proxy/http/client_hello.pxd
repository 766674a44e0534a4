cimport cython

cdef Py_ssize_t _ALPN, _CLIENT_HELLO, _HANDSHAKE, _LONGEST_RECORD, _MAJOR_VERSION
cdef Py_ssize_t _PRE_SHARED_KEY, _SERVER_NAME, _SESSION_TICKET

cdef class ClientHello:
    cdef public object server_name
    cdef public tuple alpn
    cdef public bytes ticket

cdef class _Reader:
    cdef Py_ssize_t _at
    cdef bytes _data

    cpdef bint more(self)
    cpdef bytes skip(self, Py_ssize_t size)
    @cython.locals(start=Py_ssize_t, found=Py_ssize_t, at=Py_ssize_t)
    cpdef Py_ssize_t number(self, Py_ssize_t size) except -1
    cpdef pass_over(self, Py_ssize_t prefix)
    cpdef bytes vector(self, Py_ssize_t prefix)
    cpdef done(self)

@cython.locals(message=_Reader, extensions=_Reader, kind=Py_ssize_t, ticket=bytes)
cpdef ClientHello client_hello(bytes data)
@cython.locals(message=bytes, at=Py_ssize_t, size=Py_ssize_t, whole=Py_ssize_t)
cdef bytes _handshake(bytes data)
@cython.locals(came=Py_ssize_t, size=Py_ssize_t)
cdef Py_ssize_t _record(bytes data, Py_ssize_t at) except -1
cdef _server_name(_Reader names)
cdef bytes _first_identity(_Reader offered)
cdef tuple _protocols(_Reader said)
