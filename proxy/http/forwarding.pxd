from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead

cimport cython

cdef long long _UNUSUAL

cdef bint _says_nothing(RequestHead head) except -1
cdef bytes _element(bytes peer, RequestHead head, str scheme)

cdef class Forwarding:
    cdef public object trusted
    cdef bint _x, _forwarded
    cdef bytes _pseudonym, _via
    cdef dict _hosts, _secure_hosts, _hosts_2, _secure_hosts_2, _known

    @cython.locals(hosts=dict, lines=tuple, pairs=list)
    cpdef add(self, Edits edits, RequestHead head, bytes peer, str scheme, bint trusted)
