from proxy.http.edits cimport Edits
from proxy.http.headers cimport tokens
from proxy.kernel cimport hexes
from proxy.http.head cimport RequestHead
from proxy.server.sides cimport ClientSide
from proxy.server.snapshot cimport RouteEntry, Snapshot
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Exchange

cpdef str describe(Exchange x, RequestHead head, ClientSide client, Snapshot snapshot)
cdef _believe(Exchange x, said, Snapshot snapshot)
cpdef bytes request_id(Story story)
cpdef str target(RequestHead head, Exchange x, RouteEntry entry, dict captures)
cpdef Edits request(Story story, RouteEntry entry, Snapshot snapshot, str target)
cdef str _first_authority(Story story)
cdef _add_rare(Edits edits, Story story)
cdef bytes _fewer(bytes hops, str method)
