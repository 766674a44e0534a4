from proxy.kernel.pen cimport Pen


cpdef str quote(object value)


cdef class Lines:
    cdef Pen _pen
    cdef long long _second
    cdef char[20] _shown

    cpdef begin(self, long long time, str method, str path, str query)
    cpdef members(self, str members)
    cpdef outcome(self, long long took, str upstream, str endpoint, long long attempts)
    cdef int _milliseconds(self, long long ns) except -1
    cpdef caller(self, long long received, long long sent, str client, str host, bytes agent)
    cpdef end(self, bytes request_id, bytes trace_id, bytes span_id, bint sampled)
