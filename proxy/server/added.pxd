from proxy.kernel.clock cimport monotonic_ns, time_ns
from proxy.http.date cimport imf_fixdate
from proxy.http.edits cimport Edits
from proxy.http.head cimport ResponseHead
from proxy.server.snapshot cimport Snapshot
from proxy.telemetry.facts cimport Exchange, Told

cdef bytes REQUEST_ID
cdef long long _OWN_ID

cdef _told(Told told, Edits edits, ResponseHead head, list more)
cpdef list lines(Exchange x, Snapshot snapshot, Edits edits, ResponseHead head)
