cdef class Peer:
    cdef public str address
    cdef public int port
    cdef public bint is_unix
    cdef public bytes encoded
    cdef public tuple where
    cdef public object identity, claim
    cdef public tuple about
    cdef public tuple local, proof
    cdef public bytes certificate, tls
    cdef public str listener
