from proxy.kernel.clock cimport monotonic_ns, time_ns
from proxy.http.edits cimport Edits
from proxy.http.head cimport ResponseHead
from proxy.telemetry.facts cimport Exchange

cpdef list lines(Exchange x, snapshot, Edits edits, ResponseHead head)
