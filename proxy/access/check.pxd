from proxy.http.head cimport RequestHead


cdef class Asked:
    cdef public RequestHead head
    cdef public str client, scheme, host, certificate_subject
    cdef public double now
    cdef public int port
    cdef public tuple identities


cdef class Identity:
    cdef public str check, name
    cdef public list headers, attributes, answer
    cdef public object claims
    cdef public frozenset scopes, cookies


cdef class Refusal:
    cdef public int status
    cdef public str reason
    cdef public bytes challenge
    cdef public tuple lines
    cdef public object reply
