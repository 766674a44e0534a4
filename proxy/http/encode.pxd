from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.http.reasons cimport other_line
from proxy.kernel.write cimport request_start, write_head

cimport cython

cdef list LINES, _NO_LINES
cdef tuple NO_LINE

@cython.locals(start=bytes, came=object)
cpdef bytes encode_request(RequestHead head, Edits edits, list more, bytes framing)

@cython.locals(start=bytes, came=object, status=int, reason=bytes, customary=bytes)
cpdef bytes encode_response(ResponseHead head, Edits edits=*, list more=*, bytes framing=*)

cpdef bytes encode_trailers(tuple trailers)
