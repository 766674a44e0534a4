cdef class Names:
    cdef list _names

    cpdef bint may_be_in(self, str query)
    cdef bint _is_one(self, const char* name, Py_ssize_t size) except -1
