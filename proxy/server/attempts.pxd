from proxy.kernel.clock cimport monotonic_ns
from proxy.http.head cimport ResponseHead
from proxy.kernel.hexes cimport span_id
from proxy.server.sides cimport UpstreamSide
from proxy.server.snapshot cimport Target
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Attempt
from proxy.upstream.endpoint cimport Endpoint

cdef class Event:
    pass

cdef Endpoint _choose(Story story, long long now, Target target, Endpoint failed)
cdef Attempt _begin(Story story, long long now, Target target, Endpoint endpoint, str reason)
cdef UpstreamSide _warm(Story story, Target target, Endpoint endpoint)
cdef _send(Story story, UpstreamSide upstream)
cdef _judge(Story story, Target target, Attempt attempt, ResponseHead response, failure)
cdef _pause(Story story, Target target, Attempt attempt, failure)
cdef bint _may_resend(Story story, Attempt attempt, failure)
cdef str _give_up(Story story, failure, ResponseHead response)
