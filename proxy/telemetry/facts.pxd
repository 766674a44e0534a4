from proxy.telemetry.blocks cimport RouteBlocks
from proxy.tracing.context cimport TraceContext

cdef int NOTHING


cdef class Call:
    cdef public str name, web
    cdef public long long timeout, deadline
    cdef public int status
    cdef public bint is_recognised, can_tell
    cdef public object pushback


cdef class Attempt:
    cdef public long long start, connected, sent, first_byte, cost_connect, end
    cdef public int ordinal, status, code, withheld
    cdef public long long port
    cdef public bytes span_id
    cdef public str retry_reason, upstream, address, scheme, host, version, error, why
    cdef public tuple peer
    cdef public bint reused
    cdef public object use
    cdef public bytes tls

    cpdef begin(self, long long start, bytes span_id, int ordinal)
    cpdef tell(self, long long now)


cdef class Told:
    cdef public list rate, lines, headers
    cdef public frozenset drops, cookies
    cdef public tuple denied, secure
    cdef public object claim


cdef class Exchange:
    cdef public long long start, wall_ns, end, first_byte, body_in, body_out
    cdef public long long host_port, peer_port
    cdef public int status, brought
    cdef public str method, scheme, path, query, sent_path, host, version, client, peer, error, why
    cdef public str counted
    cdef public bytes user_agent, request_id, trace_id, span_id
    cdef public bytes tls
    cdef public list captured, attempts
    cdef public Call call
    cdef public Told told
    cdef public RouteBlocks route
    cdef public TraceContext context, link
    cdef public bint sampled, flags_random, head_sent, client_gone, is_id_given

    cpdef begin(self, long long start, long long wall_ns)
