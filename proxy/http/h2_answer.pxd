cimport cython

from proxy.http.edits cimport Edits
from proxy.http.framing cimport frame_response
from proxy.http.h2_request cimport as_they_came, never_indexed, put
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.http.headers cimport bits
from proxy.kernel.scan cimport Lines as Scanned
from proxy.kernel.tokens cimport is_value

cdef int MOST_HEAD, WANTS_TRAILERS
cdef long long _DATED
cdef bytes CONTENT_LENGTH, DATE
cdef tuple _TE
cdef dict RESPONSE_KINDS, _STATUSES

@cython.locals(
    fields=list, first=list, ours=list, came=list, removed=frozenset, scanned=Scanned,
    names=frozenset
)
cpdef list request_fields(RequestHead head, Edits edits, list more, bytes scheme)
@cython.locals(lines=list)
cdef list _ours(RequestHead head, Edits edits, list more)
cdef _check(list fields)
@cython.locals(head=ResponseHead)
cpdef ResponseHead response_head(fields, str method, bint ended)
@cython.locals(head=ResponseHead)
cpdef ResponseHead informational_head(fields)
@cython.locals(
    head=ResponseHead, pairs=list, special=dict, seen=cython.longlong, size=Py_ssize_t,
    name=bytes, value=bytes, kind=bytes, pair=object
)
cdef ResponseHead _head(fields)
cdef int _status(fields) except -1
