cimport cython

from proxy.http.h2 cimport Session
from proxy.http.h2_request cimport request_head
from proxy.http.head cimport RequestHead
from proxy.kernel.clock cimport monotonic_ns
from proxy.server.h2_client_stream cimport ClientStream
from proxy.server.h2_goodbye cimport Departing
from proxy.server.house cimport House

cdef class H2Connection(Departing):
    cdef public bint _dirty, _flushes, filed, watched
    cdef public object _door, _loop
    cdef object __weakref__

    cpdef judge(self)
    cpdef data_received(self, bytes data)
    cdef _serve(self, bytes data)
    cpdef go_on(self)
    @cython.locals(streams=dict, stream=ClientStream)
    cdef _handle(self, list events)
    @cython.locals(stream=ClientStream)
    cdef _handle_rare(self, kind, event)
    @cython.locals(house=House, stream=ClientStream, head=RequestHead, heard=bint)
    cdef _ask(self, event)
    cdef _refuse(self, ClientStream stream, error)
    @cython.locals(stream=ClientStream)
    cdef _close(self, number, int code)
    @cython.locals(session=Session, data=bytes)
    cpdef push(self)
    @cython.locals(stream=ClientStream, found=bint)
    cdef bint _reset_early(self)
