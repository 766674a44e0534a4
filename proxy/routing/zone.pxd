cimport cython

from proxy.kernel.walk cimport Tree
from proxy.routing.demands cimport Conditions


cdef class Leaf:
    cdef public Py_ssize_t index
    cdef public object pattern
    cdef public Conditions conditions
    cdef bint _is_static
    cdef Py_ssize_t _offset
    cdef tuple _places

    cpdef dict captures(self, str path)
    cpdef bint fits(self, str path)


cdef class Zone:
    cdef Tree _tree
    cdef list _regexes

    @cython.locals(leaf=Leaf, leaves=list, others=list, tree=Tree)
    cpdef Leaf find(self, str method, str path, str query, object head)


@cython.locals(leaf=Leaf)
cdef Leaf _accepting(list leaves, str method, str query, object head)
