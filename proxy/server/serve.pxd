cimport cython

from proxy.http.head cimport RequestHead, ResponseHead
from proxy.http.local cimport check_length, last_hop
from proxy.server cimport added, answering, attempts, gate, outbound, grpc_calls
from proxy.server.house cimport House
from proxy.server.sides cimport ClientSide
from proxy.server.snapshot cimport RouteEntry, Target
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Attempt

@cython.locals(story=Story)
cpdef Story tell(House house, ClientSide client, RequestHead head)
@cython.locals(entry=RouteEntry, target=Target)
cdef bint _goes_on(Story story)
@cython.locals(target=Target, head=RequestHead)
cdef _forward(Story story, RouteEntry entry, dict captures)
cdef bint _is_let_on(Story story, RouteEntry entry, dict captures) except -1
cpdef bint is_answered(Story story, RouteEntry entry, dict captures) except -1
cdef bint _has_own(Story story, RouteEntry entry, dict captures) except -1
cdef bint _is_preflight(Story story, str host) except -1
cdef bint _asks_health(Story story) except -1
cpdef end(Story story, tuple trailers)
cpdef end_here(Story story, str host, int status)
@cython.locals(attempt=Attempt, target=Target, lines=list)
cpdef object relay(Story story, ResponseHead response)
cdef RouteEntry _entry(Story story, error)
