"""Attributes of one client or one name. The rules are in sources.py.

Written anew each time: 30 to 60 instructions each, where looking up a tuple of three takes 350 and
hashing a user agent as much again (benchmarks/micro_telemetry.py).
"""

from proxy.kernel.pen cimport IntAttribute, Pen, TextAttribute


cdef class Sources:
    def __init__(self, Pen pen not None, int field):
        self._pen = pen
        self._host = TextAttribute(field, "server.address")
        self._host_port = IntAttribute(field, "server.port")
        self._agent = TextAttribute(field, "user_agent.original")
        self._client = TextAttribute(field, "client.address")
        self._peer = TextAttribute(field, "network.peer.address")
        self._peer_port = IntAttribute(field, "network.peer.port")
        self._upstream = TextAttribute(field, "spangate.upstream")
        self._endpoint = TextAttribute(field, "spangate.endpoint")
        self._attempts = IntAttribute(field, "spangate.attempts")

    cpdef asked(self, str host, long long port, bytes agent):
        self._address(self._host, self._host_port, host, port)
        if agent:
            self._pen.text(self._agent, agent)

    cpdef sent_by(self, str client, str peer, long long port):
        if client:
            self._pen.text(self._client, client)
        self._address(self._peer, self._peer_port, peer, port)

    cpdef peer(self, tuple peer):
        self._address(self._peer, self._peer_port, <str?>peer[0], peer[1])

    cpdef destination(self, str upstream, str endpoint, long long attempts):
        self._pen.text(self._upstream, upstream)
        self._pen.text(self._endpoint, endpoint)
        self._pen.number(self._attempts, attempts)

    cdef int _address(
        self, TextAttribute name, IntAttribute number, str host, long long port
    ) except -1:
        if host:
            self._pen.text(name, host)
        if 0 < port < 65536:
            self._pen.number(number, port)
        return 0
