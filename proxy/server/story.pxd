cimport cython

from proxy.kernel.clock cimport monotonic_ns, time_ns
from proxy.kernel.step cimport send
from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead
from proxy.server.house cimport House
from proxy.server.snapshot cimport RouteEntry, Snapshot, Target
from proxy.server.sides cimport ClientSide, StoryEvents, UpstreamSide
from proxy.server.trailers cimport passed_on
from proxy.server.snapshot cimport RouteEntry, Snapshot, Target
from proxy.telemetry.facts cimport Attempt, Exchange
from proxy.upstream.endpoint cimport Endpoint


cdef class Story(StoryEvents):
    cdef public House worker
    cdef public ClientSide client
    cdef public RequestHead head
    cdef public Exchange x
    cdef public Snapshot snapshot
    cdef public RouteEntry entry
    cdef public Target target
    cdef public object coroutine, later
    cdef public Attempt attempt
    cdef public Endpoint endpoint
    cdef public UpstreamSide upstream
    cdef public Edits edits
    cdef public list held
    cdef public tuple trailers
    cdef public object copy, flow, ticket, tunnel
    cdef public bint replayable
    cdef public long long total
    cdef public long long _deadline, _idle_since
    cdef public bint _moved

    @cython.locals(x=Exchange)
    cpdef set_out(self, House worker, ClientSide client, RequestHead head)
    cdef _step(self, value)
    cdef _client_shut(self)
    cdef _throw(self, error)
    cpdef wait(self, long long since, long long limit)
    cdef _idle_error(self)
