from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.server.peer cimport Peer

cdef class ClientSide:
    cdef public Peer peer
    cdef public str scheme
    cdef public bint trusted, forwards, blocked

    cpdef send_informational(self, ResponseHead head)
    cpdef send_head(self, ResponseHead head, Edits edits, list more)
    cpdef send_data(self, bytes data, bint last)
    cpdef flush(self)
    cpdef end(self, tuple trailers)
    cpdef bint take_back(self)
    cpdef skip_body(self)
    cpdef open_tunnel(self)
    cpdef close_after(self)
    cpdef abort(self)
    cpdef pause(self)
    cpdef resume(self)
    cpdef next(self, long long now)
    cpdef bare(self)
    cpdef took(self, long long count)
    cpdef gave(self, long long count)
    cpdef fail_by(self, error)

cdef class UpstreamSide:
    cdef public Peer peer
    cdef public str scheme, version
    cdef public bint blocked, used

    cpdef start(self, StoryEvents story, RequestHead head, Edits edits, list more)
    cpdef send_data(self, bytes data, bint last)
    cpdef end(self, tuple trailers)
    cpdef open_tunnel(self)
    cpdef drop_answer(self)
    cpdef abort(self)
    cpdef close(self)
    cpdef pause(self)
    cpdef resume(self)
    cpdef bare(self)
    cpdef took(self, long long count)
    cpdef gave(self, long long count)
    cpdef fail_by(self, error)

cdef class Lender:
    cpdef UpstreamSide take(self, bint careful)

cdef class StoryEvents:
    cpdef begin(self)
    cpdef on_body(self, bytes data, bint last)
    cpdef on_plenty(self, source, long long left)
    cpdef on_body_end(self, tuple trailers)
    cpdef on_bad_body(self, error)
    cpdef on_client_gone(self)
    cpdef on_shutdown(self)
    cpdef on_client_blocked(self)
    cpdef on_client_drained(self)
    cpdef tick(self, long long now)
    cpdef bint is_answering(self)
    cpdef on_connected(self, UpstreamSide upstream)
    cpdef on_connect_failed(self, error)
    cpdef on_paused_enough(self)
    cpdef on_informational(self, ResponseHead head)
    cpdef on_response(self, ResponseHead head)
    cpdef on_data(self, bytes data, bint last)
    cpdef flush(self)
    cpdef on_response_end(self, long long now, tuple trailers)
    cpdef on_upstream_failed(self, error)
    cpdef on_upload_blocked(self)
    cpdef on_upload_drained(self)
