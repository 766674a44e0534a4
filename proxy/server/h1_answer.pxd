cimport cython

from proxy.kernel.ends cimport joined, length_line
from proxy.kernel.write cimport chunk
from proxy.http.edits cimport Edits
from proxy.http.encode cimport encode_response, encode_trailers
from proxy.http.framing cimport frame_answer
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.server.outbox cimport Outbox
from proxy.server.sides cimport ClientSide
from proxy.server.tap cimport Tap

cdef int _JOIN
cdef long long _OLD

cdef class AnswerWriter(ClientSide):
    cdef public object transport
    cdef public Tap _tap
    cdef public Outbox _outbox
    cdef public RequestHead _asked
    cdef public bytes _pending
    cdef public bint _chunked, _close, _retired, _until_close
    cdef public long long _left

    @cython.locals(asked=RequestHead, status=int, framing=bytes)
    cpdef begin_answer(self, ResponseHead head, Edits edits, list more)
    cpdef finish_answer(self, tuple trailers)
    cpdef reply(self, ResponseHead head, list more, bytes body)
    cpdef push(self)
    cpdef shut(self)
