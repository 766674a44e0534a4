from proxy.kernel.clock cimport monotonic_ns
from proxy.http cimport grpc
from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead, ResponseHead
from proxy.server.sides cimport UpstreamSide
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Attempt, Call, Exchange

cdef long long _LONGEST_NS, _SLACK_NS

cpdef Call call_of(RequestHead head)
cpdef translate(Story story)
cdef Call _call(RequestHead head)
cpdef begin(Story story, Call call)
cpdef UpstreamSide prepare(
    Story story, Call call, UpstreamSide upstream, Attempt attempt, list more
)
cpdef bint is_over(Call call, Attempt attempt, ResponseHead response) except -1
cpdef bint may_retry(Story story, Attempt attempt, long long tries, double left) except -1
cpdef pushback(Call call)
cpdef relay(Call call, ResponseHead response)
cpdef end(Story story, Call call, tuple trailers)
cdef _blame(Attempt attempt)
cpdef bint is_late(Call call, long long now) except -1
cpdef bint tell(Story story, Call call, error) except -1
