cdef class Names:
    cdef list _names
    cdef unsigned long long _sizes  # bit n: there is one of that length; 63: of that or more

    cpdef bint may_be_in(self, str query)
    cdef bint _is_one(self, const char* name, Py_ssize_t size) except -1
