cimport cython

from proxy.http.edits cimport Edits
from proxy.http.framing cimport declared_length, frame_request
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.http.headers cimport bits
from proxy.kernel.scan cimport Lines as Scanned
from proxy.http.target cimport Authorities, resolve

cdef frozenset OF_REQUESTS
cdef bytes _HOST, _ACCEPT, _STATUS
cdef bytes _COOKIE, _UNKNOWN, _UNDERSCORE
cdef dict _KINDS, _SENT
cdef int _BLANK, _MOST_SENT, _LONGEST_SENT

@cython.locals(head=RequestHead, pseudo=dict, size=Py_ssize_t)
cpdef RequestHead request_head(fields, bint ended, rules, Authorities authorities)
@cython.locals(
    size=Py_ssize_t, pairs=list, special=dict, cookies=Py_ssize_t, underscored=cython.longlong,
    name=bytes, value=bytes, kind=bytes, pair=object
)
cdef Py_ssize_t _split(RequestHead head, fields, dict pseudo) except -1
@cython.locals(path=bytes)
cdef _check_size(RequestHead head, Py_ssize_t size, dict pseudo, limits)
@cython.locals(authority=bytes, host=bytes, protocol=bytes)
cdef _apply_pseudo(RequestHead head, dict pseudo)
cdef _end(RequestHead head)
@cython.locals(
    switched=bint, fields=list, lines=list, came=list, length=bytes, first=tuple, names=frozenset
)
cpdef list answer_fields(ResponseHead head, Edits edits, list more, RequestHead asked)
@cython.locals(scanned=Scanned, lines=list)
cdef list _came(ResponseHead head, frozenset removed)
cpdef list never_indexed(list fields, frozenset names)
cpdef list as_they_came(list pairs, frozenset removed)
cpdef list informational_fields(ResponseHead head)
@cython.locals(fields=list)
cpdef list trailer_fields(tuple trailers)
cpdef tuple trailers_of(fields)
@cython.locals(name=bytes, value=bytes, sent=bytes)
cpdef put(list fields, pairs, never)
@cython.locals(low=bytes)
cdef bytes _sent_name(bytes name)
@cython.locals(parts=list, text=bytes)
cdef list _checked(list fields)
