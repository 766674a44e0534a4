cimport cython

from proxy.routing.zone cimport Leaf, Zone


cdef class Table:
    cdef object _shown
    cdef list _leaves
    cdef bint _has_methods, _has_hosts
    cdef tuple _anywhere  # of Zones
    cdef dict _exact, _wildcards, _known

    cpdef tuple match(self, str host, str method, str path, str query, object head)
    @cython.locals(known=tuple, zones=tuple, zone=Zone, leaf=Leaf)
    cpdef Leaf find(self, str host, str method, str path, str query, object head)
    @cython.locals(zones=list, dot=Py_ssize_t)
    cpdef tuple _zones(self, str host)
