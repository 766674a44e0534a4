cimport cython

from proxy.http.head cimport RequestHead

cdef int _MOST, _MOST_BYTES
cdef tuple NO_TRAILERS
cdef frozenset _FORBIDDEN

@cython.locals(size=Py_ssize_t, name=bytes, value=bytes, dashed=bytes, kept=list)
cpdef tuple passed_on(tuple trailers, RequestHead asked, frozenset never)
