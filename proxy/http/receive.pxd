cimport cython

from proxy.http.framing cimport frame_request
from proxy.http.h1 cimport RequestReader
from proxy.http.head cimport RequestHead
from proxy.http.target cimport Authorities, resolve

@cython.locals(head=RequestHead, size=Py_ssize_t, line=Py_ssize_t)
cpdef RequestHead receive(RequestReader reader, bytes data, object rules, Authorities authorities)
