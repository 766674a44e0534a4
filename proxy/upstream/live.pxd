from proxy.upstream.balance cimport Balancer
from proxy.upstream.retry cimport Budget


cdef class Live:
    cdef public str name
    cdef public Balancer balancer
    cdef public object feedback  # a Feedback, or None
    cdef public object chooser  # a Chooser, or None
    cdef public object bounds  # a Bounds, or None
    cdef public Budget budget
