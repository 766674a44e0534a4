from proxy.kernel.clock cimport monotonic_ns
from proxy.kernel.hexes cimport span_id, span_of
from proxy.server cimport added
from proxy.server.snapshot cimport RouteEntry
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Attempt, Call, Exchange
from proxy.telemetry.contexts cimport Contexts
from proxy.telemetry.recorder cimport Recorder
from proxy.tracing cimport decision

cpdef trace(Story story, RouteEntry entry)
cpdef reply(Story story, own, RouteEntry entry)
cpdef fail(Story story, error, RouteEntry entry)
cdef _told(Story story, error, RouteEntry entry)
cdef _as_call(Exchange x, Call call, own)
cdef bint _was_late(Exchange x, Call call) except -1
cpdef leave(Story story, error)
cdef bint _take_back(Story story)
cdef _leave_others(Story story)
cpdef settle(Story story)
cpdef finish(Story story)
