from proxy.kernel.params cimport Names


cdef class Redactor:
    cdef frozenset _names
    cdef Names _listed

    cpdef str query(self, str query)
