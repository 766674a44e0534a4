cimport cython

from proxy.server cimport grpc_calls
from proxy.kernel.clock cimport monotonic_ns, time_ns
from proxy.http.head cimport ResponseHead
from proxy.kernel.hexes cimport span_id
from proxy.server.sides cimport UpstreamSide
from proxy.server.snapshot cimport Target
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Attempt
from proxy.upstream.endpoint cimport Endpoint
from proxy.upstream.live cimport Live

@cython.locals(now="long long", endpoint=Endpoint, state=Live, attempt=Attempt)
cpdef Attempt begin(Story story, Target target, Endpoint failed, str reason)
@cython.locals(endpoint=Endpoint, target=Target)
cdef UpstreamSide _warm(Story story, Attempt attempt)
cpdef tell_deadline(Story story, list more)
cpdef list introduce(Story story, Target target, Attempt attempt, UpstreamSide upstream)
cdef _send(Story story, UpstreamSide upstream)
cpdef bint is_sent(Story story) except -1
cpdef bint is_begun(Story story) except -1
@cython.locals(attempt=Attempt, target=Target)
cpdef tuple after(Story story, failure)
@cython.locals(attempt=Attempt, target=Target, status=int)
cpdef tuple follows(Story story, ResponseHead response)
cpdef note(Story story, Target target, Attempt attempt, failure)
cdef _pause(Story story, Target target, Attempt attempt, ResponseHead response, failure)
cdef _wanted(Story story, ResponseHead response)
cdef str _give_up(Story story, failure)
