cimport cython

from proxy.kernel.walk cimport Tree
from proxy.routing.leaf cimport Leaf


cdef class Zone:
    cdef Tree _tree
    cdef list _regexes
    cdef object _ranked

    @cython.locals(leaf=Leaf, leaves=list, others=list, tree=Tree)
    cpdef Leaf find(self, str method, str path, str query, object head)


@cython.locals(leaf=Leaf)
cdef Leaf _accepting(list leaves, str method, str query, object head)
