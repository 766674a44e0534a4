cdef class Demand:
    cdef public str name, wanted
    cdef public object regex
    cdef bint _is_any
    cdef bytes _raw

    cpdef bint holds(self, str value)
    cpdef bint holds_raw(self, bytes value)


cdef class Conditions:
    cdef public frozenset methods
    cdef public tuple headers, query
    cdef public str scheme
    cdef public str listener
    cdef public bint denies, web
    cdef public object grpc  # None, True, False

    cpdef bint hold(self, str method, str query, object head)
    cpdef is_call(self, object head)
    cpdef bint in_head(self, bytes name, Demand demand, object head)
    cpdef bint in_query(self, Demand demand, str query)


cpdef list parameters(str query, str name, bint all_of_them=*)
cdef bint _is_encoded(str text)
