cimport cython

from proxy.http.head cimport RequestHead

@cython.locals(hops=bytes)
cpdef int last_hop(RequestHead head, bint connects)
cpdef check_length(object length, object limit)
