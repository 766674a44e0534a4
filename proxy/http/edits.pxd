cdef class Edits:
    cdef public str target, authority
    cdef public int wants
    cdef public frozenset removed
    cdef public list added

    cpdef begin(self, str target, str authority)
    cpdef add(self, bytes name, bytes value)
    cpdef take(self, Edits others)
