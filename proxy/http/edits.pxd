cdef class Edits:
    cdef public str target, authority
    cdef public int wants
    cdef public frozenset removed
    cdef public list added

    cpdef add(self, bytes name, bytes value)
    cpdef take(self, Edits others)
