cimport cython

from proxy.http.h2_floods cimport FrameCounter

cdef int _FRAME, _EARNED

cdef class Session:
    cdef object _connection
    cdef FrameCounter _counter
    cdef list _events
    cdef set _explained
    cdef bytes _last_words, _rest
    cdef long long _now
    cdef dict _owed
    cdef Py_ssize_t _fed
    cdef bint _whole
    cdef public bint closed, waiting
    cdef public set open

    @cython.locals(counter=FrameCounter, begin=Py_ssize_t, end=Py_ssize_t)
    cpdef list receive(self, bytes data, long long now)
    cdef _feed(self, bytes data)
    @cython.locals(found=list)
    cpdef list events(self)
    @cython.locals(data=bytes, stream=object)
    cdef _collect(self)
    cdef _close_stream(self, event)
    cdef _fail(self, int code, str why)
    @cython.locals(data=bytes)
    cpdef bytes take(self, Py_ssize_t limit=*)
    cpdef send_request(self, fields, bint end)
    cpdef bint send_response(self, stream, fields, bint end)
    cpdef bint send_data(self, stream, bytes data, bint end)
    cpdef bint send_trailers(self, stream, fields)
    cpdef bint end(self, stream)
    cpdef bint reset(self, stream, int code)
    cpdef Py_ssize_t queued(self, stream=*)
    cpdef acknowledge(self, Py_ssize_t size, stream)
    cpdef Py_ssize_t owed(self, stream)
