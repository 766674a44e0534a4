cimport cython

from proxy.routing.leaf cimport Leaf
from proxy.routing.zone cimport Zone


cdef class Hosts:
    cdef bint _has_hosts
    cdef tuple _anywhere  # of Zones
    cdef dict _exact, _wildcards, _known

    @cython.locals(known=tuple, zones=tuple, zone=Zone, leaf=Leaf)
    cpdef Leaf find(self, str host, str method, str path, str query, object head)
    @cython.locals(zones=list, dot=Py_ssize_t)
    cpdef tuple zones(self, str host)
