from proxy.kernel.ends cimport length_line
from proxy.kernel.write cimport chunk
from proxy.http.edits cimport Edits
from proxy.http.encode cimport encode_request, encode_trailers
from proxy.http.framing cimport frame_upload
from proxy.http.head cimport RequestHead
from proxy.server.outbox cimport Outbox
from proxy.server.sides cimport StoryEvents, UpstreamSide

cdef int _JOIN
cdef long long _LENGTH

cdef class RequestWriter(UpstreamSide):
    cdef public object transport, _left
    cdef public StoryEvents story
    cdef public int _state
    cdef public Outbox _outbox
    cdef public str _method, _protocol
    cdef public bytes _key
    cdef public bint _keep_alive, _request_chunked, _request_done, _shut
    cdef public int _tunnel
    cdef public long long _written

    cdef _ask(self, RequestHead head, list more)
    cdef _shut_tunnel(self)
