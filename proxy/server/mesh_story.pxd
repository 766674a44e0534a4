cimport cython

from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.http.headers cimport bits
from proxy.http.local cimport check_length, last_hop
from proxy.server cimport answering, attempts, gate, grpc_calls, outbound, serve
from proxy.server.house cimport House
from proxy.server.sides cimport ClientSide
from proxy.server.snapshot cimport RouteEntry, Snapshot, Target
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Attempt, Exchange

cdef tuple _PASSED
cdef long long _PASSED_BITS

@cython.locals(story=Story)
cpdef Story tell(House house, ClientSide client, RequestHead head)
@cython.locals(x=Exchange, head=RequestHead, snapshot=Snapshot, entry=RouteEntry)
cdef bint _goes_on(Story story) except -1
@cython.locals(x=Exchange, head=RequestHead, target=Target)
cdef _forward(Story story, RouteEntry entry, dict captures)
@cython.locals(x=Exchange, head=RequestHead, edits=Edits, path=str, fields=dict, authority=bytes)
cdef Edits _edits(Story story, RouteEntry entry, Snapshot snapshot, dict captures)
@cython.locals(x=Exchange, tried=Attempt)
cdef _finish(Story story, bint answered)
cdef _as_called(Exchange x, RequestHead head, Attempt tried)
