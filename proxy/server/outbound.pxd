cimport cython

from proxy.server cimport grpc_calls
from proxy.http.edits cimport Edits
from proxy.http.headers cimport tokens
from proxy.kernel cimport hexes
from proxy.http.head cimport RequestHead
from proxy.server.peer cimport Peer
from proxy.server.sides cimport ClientSide
from proxy.server.snapshot cimport RouteEntry, Snapshot
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Exchange

cdef bytes USER_AGENT, REQUEST_ID
cdef long long _CERTIFICATE, _FORWARDED, _OWN_ID, RARE
cdef int _MOST_REQUEST_ID

@cython.locals(peer=Peer)
cpdef str describe(Exchange x, RequestHead head, ClientSide client, Snapshot snapshot)
cdef _believe(Exchange x, said, Snapshot snapshot)
@cython.locals(given=bytes, head=RequestHead)
cpdef bytes request_id(Story story)
@cython.locals(given=bytes, edits=Edits, added=list, agent=bytes, path=str)
cpdef Edits request(Story story, RouteEntry entry, Snapshot snapshot, dict captures)
cdef str _first_authority(Story story)
cdef _certificate(Edits edits, RequestHead head, ClientSide client, bint passes)
cpdef add_rare(Edits edits, Story story)
cdef bytes _fewer(bytes hops, str method)
