cimport cython

from proxy.http.head cimport RequestHead
from proxy.server.peer cimport Peer
from proxy.server.snapshot cimport Snapshot
from proxy.server.story cimport Story
from proxy.upstream.endpoint cimport Endpoint

cdef class Endpoints:
    cdef object _house
    cdef str _scheme, _upstream, _last_source
    cdef dict _known
    cdef tuple _last_place
    cdef Endpoint _last

    @cython.locals(key=tuple, endpoint=Endpoint)
    cpdef Endpoint at(self, tuple place, str source=*)
    @cython.locals(endpoint=Endpoint)
    cdef Endpoint _made(self, tuple place, str source)

cdef class Chooser:
    cdef object _sidecar
    cdef bint _app
    cdef Endpoints _bytes, _h1, _h2, _peers

    cpdef mark(self, story, list lines)
