from proxy.access.check cimport Asked


cdef class Wanted:
    cdef public tuple all, any, checks, names
    cdef public object claims
    cdef public frozenset scopes


cdef class Round:
    cdef public Asked _asked
    cdef public Wanted _wanted
    cdef public int _at
    cdef public list _refusals, identities
    cdef public tuple refused

    cpdef go(self)
    cpdef take(self, verdict)
    cdef _conclude(self)
    cdef bint _suffices(self) except -1
