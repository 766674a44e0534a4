cimport cython

from proxy.http.h2 cimport Session
from proxy.server.h2_stream cimport Carrier, H2UpstreamStream

cdef int CANCEL, UPLOAD_LOW, WRITE_HIGH

cdef class RequestSender(Carrier):
    cdef public bint _scheduled, _settled, _writable, closed, draining
    cdef public list _fresh, _switching
    cdef public long long _written
    cdef public Py_ssize_t _lent
    cdef public object _loop, home, transport
    cdef public Session _session
    cdef public dict _streams, _uploads
    cdef object __weakref__

    cpdef retire(self)
    cdef _end(self)
    cdef _tell(self, list events)
    cdef list _take_all(self)
    cpdef _switch(self)
    @cython.locals(stream=H2UpstreamStream)
    cdef _hold_back(self, Py_ssize_t most)
    cdef _schedule(self)
    cpdef _flush(self)
    @cython.locals(session=Session, data=bytes, stream=H2UpstreamStream)
    cdef _write(self)
    @cython.locals(stream=H2UpstreamStream, waiting=Py_ssize_t)
    cdef _look_at_uploads(self)
