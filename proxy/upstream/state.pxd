from proxy.upstream.balance cimport Balancer
from proxy.upstream.endpoint cimport Endpoint
from proxy.upstream.retry cimport Budget


cdef class UpstreamState:
    cdef public str name
    cdef public object settings
    cdef public dict endpoints
    cdef public Balancer balancer
    cdef public object feedback
    cdef public Budget budget
    cdef object _offset
    cdef set _discovered


cdef class Use:
    cdef object _feedback
    cdef Endpoint _endpoint
    cdef long long _start

    cpdef end(self, long long status, str error, long long now)


cpdef outcome(long long status, str error)
