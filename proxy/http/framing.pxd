cimport cython

from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.http.headers cimport bits, nominated, own, tokens
from proxy.kernel.scan cimport Head
from proxy.kernel.tokens cimport decimal

cdef bytes TRANSFER_ENCODING, CONNECTION, EXPECT, UPGRADE
cdef long long _CODING, _LENGTH, _CONNECTION, _EXPECT, _OLD

@cython.locals(seen=cython.longlong, length=bytes, expect=bytes)
cpdef frame_request(RequestHead head)
@cython.locals(length=bytes)
cpdef _check_old(RequestHead head)
cpdef _check_chunked(bytes coding, bytes length, str version)
cpdef _apply_connection(RequestHead head, bytes connection)

@cython.locals(seen=cython.longlong, coding=bytes, length=bytes, connection=bytes)
cpdef frame_response(ResponseHead head, str request_method)
cpdef bint announces_body(ResponseHead head)
cpdef bint is_chunked(Head head)
cpdef bint _persistent(ResponseHead head, list options)
cpdef _response_connection(ResponseHead head, bytes connection)
cpdef _response_coding(ResponseHead head, bytes coding, bytes length)

@cython.locals(status=int, declared=bytes)
cpdef tuple frame_answer(ResponseHead head, RequestHead asked)
cpdef bytes declared_length(ResponseHead head, RequestHead asked)
cpdef bint _is_bodiless(int status, RequestHead asked)
@cython.locals(lines=bytes, to=bytes)
cpdef bytes frame_upload(RequestHead head, Edits edits)
@cython.locals(to=bytes)
cpdef bytes _switched(ResponseHead head)
