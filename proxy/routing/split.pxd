cdef class Split:
    cdef list _bounds, _names
    cdef str _only
    cdef long long _total

    cpdef str pick(self, double r)
