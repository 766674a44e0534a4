cimport cython

from proxy.http.edits cimport Edits
from proxy.http.framing cimport declared_length, frame_request
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.http.headers cimport bits
from proxy.http.target cimport Authorities, resolve

cdef bytes _HOST, _ACCEPT, _STATUS
cdef bytes _COOKIE, _UNKNOWN, _UNDERSCORE
cdef dict _KINDS, _SENT
cdef int _BLANK, _MOST_SENT, _LONGEST_SENT

@cython.locals(head=RequestHead, pseudo=dict)
cpdef RequestHead request_head(fields, bint ended, rules, Authorities authorities)
@cython.locals(
    pseudo=dict, pairs=list, special=dict, cookies=Py_ssize_t, underscored=cython.longlong,
    name=bytes, value=bytes, kind=bytes, pair=object
)
cdef dict _split(RequestHead head, fields)
@cython.locals(path=bytes, size=Py_ssize_t, name=bytes, value=bytes)
cdef _check_size(RequestHead head, fields, dict pseudo, limits)
@cython.locals(authority=bytes, host=bytes, protocol=bytes)
cdef _apply_pseudo(RequestHead head, dict pseudo)
cdef _end(RequestHead head)
@cython.locals(switched=bint, fields=list, length=bytes, names=frozenset)
cpdef list answer_fields(ResponseHead head, Edits edits, list more, RequestHead asked)
cpdef list never_indexed(list fields, frozenset names)
cpdef list informational_fields(ResponseHead head)
@cython.locals(name=bytes, value=bytes, sent=bytes)
cpdef put(list fields, pairs, never)
@cython.locals(low=bytes)
cdef bytes _sent_name(bytes name)
@cython.locals(parts=list, text=bytes)
cdef list _checked(list fields)
