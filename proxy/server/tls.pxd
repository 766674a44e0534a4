cimport cython

cdef Py_ssize_t RECORD, _AT_ONCE

cdef class TlsLayer:
    cdef public object transport
    cdef public long long came
    cdef public object _error, _in, _inner, _out, _raw, _tls
    cdef public bint _delivering, _ended, _holds, _is_last, _is_open, _is_over, _paused, _ragged, _said_goodbye
    cdef public long long _plain, _sealed

    cpdef data_received(self, bytes data)
    cpdef bint eof_received(self)
    cpdef connection_lost(self, error)
    cpdef pause_writing(self)
    cpdef resume_writing(self)
    cpdef _begin(self, context, name, session)
    cpdef _shake(self, long long size)
    cpdef bint _step(self) except -1
    cpdef _open(self, codec)
    cpdef _deliver(self)
    @cython.locals(data=bytes)
    cdef _read(self)
    @cython.locals(pieces=list, size=Py_ssize_t)
    cdef bytes _gather(self, bytes data)
    cdef _end(self)
    cpdef _fail(self, error)
    cpdef _flush(self)
    @cython.locals(done=Py_ssize_t, sealed=bytes)
    cpdef write(self, bytes data)
    cpdef hold(self)
    cpdef write_eof(self)
    cpdef close(self)
    cpdef abort(self)
    cpdef bint is_closing(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef long long get_write_buffer_size(self)
    cpdef long long held_back(self)
    cpdef long long untold(self, long long unacknowledged)
    cdef _say_goodbye(self)
