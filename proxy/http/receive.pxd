cimport cython

from proxy.http.framing cimport frame_request
from proxy.http.h1 cimport RequestReader
from proxy.http.head cimport RequestHead
from proxy.http.target cimport Authorities, resolve

cdef class _Sizes:
    cdef object limits
    cdef Py_ssize_t line, head
    cdef int fields

    cdef take(self, object limits)

cdef _Sizes _SIZES
cdef long long _WITH_UNDERSCORE, _FRAMING

@cython.locals(head=RequestHead, size=Py_ssize_t, sizes=_Sizes)
cpdef RequestHead receive(RequestReader reader, bytes data, object rules, Authorities authorities)
