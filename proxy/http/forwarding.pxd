from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead

cimport cython

cdef long long _UNUSUAL

cdef class Forwarding:
    cdef public object trusted
    cdef bint _x, _forwarded, _usual
    cdef bytes _pseudonym, _via
    cdef dict _hosts, _secure_hosts, _hosts_2, _secure_hosts_2, _known

    @cython.locals(hosts=dict, lines=tuple, pairs=list)
    cpdef add(self, Edits edits, RequestHead head, bytes peer, str scheme, bint trusted)
