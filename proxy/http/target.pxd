cimport cython

from proxy.http.head cimport RequestHead
from proxy.http.path cimport encode_utf8, normalise
from proxy.kernel.tokens cimport is_ordinary

cdef class Authorities:
    cdef public dict _known
    cdef public bint as_proxy

    cpdef str check(self, bytes raw)
    cpdef str _look(self, bytes raw)

cdef bytes _HOST

cpdef str normal_authority(str text)
cpdef str without_port(str authority)
cpdef tuple split_authority(str authority)

@cython.locals(host=bytes, target=bytes, text=str, path=str, mark=str)
cpdef resolve(RequestHead head, Authorities authorities)
cpdef bytes _unusual(RequestHead head, Authorities authorities)
cpdef bytes _connected(RequestHead head, Authorities authorities)
cpdef str _encoded(bytes target)
