from proxy.kernel.pen cimport IntAttribute, Pen, TextAttribute


cdef class Sources:
    cdef Pen _pen
    cdef TextAttribute _host, _agent, _client, _peer, _upstream, _endpoint
    cdef IntAttribute _host_port, _peer_port, _attempts

    cpdef asked(self, str host, long long port, bytes agent)
    cpdef sent_by(self, str client, str peer, long long port)
    cpdef peer(self, tuple peer)
    cpdef destination(self, str upstream, str endpoint, long long attempts)
    cdef int _address(
        self, TextAttribute name, IntAttribute number, str host, long long port
    ) except -1
