from proxy.routing.demands cimport Conditions


cdef class Leaf:
    cdef public Py_ssize_t index, rank
    cdef public object pattern
    cdef public Conditions conditions
    cdef bint _is_static
    cdef Py_ssize_t _offset
    cdef tuple _places

    cpdef dict captures(self, str path)
    cpdef bint fits(self, str path)
