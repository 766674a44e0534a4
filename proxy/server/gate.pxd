cimport cython

from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead
from proxy.server.peer cimport Peer
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Exchange, Told

cdef long long _FORWARDED

@cython.locals(told=Told)
cpdef tell(Story story, access)
cpdef enter(Story story, access, rates, captures)
@cython.locals(told=Told, edits=Edits)
cpdef edit(Story story, access)
@cython.locals(x=Exchange, peer=Peer)
cdef _asked(Story story)
@cython.locals(head=RequestHead)
cdef _address(Story story, access)
@cython.locals(told=Told)
cdef _per_client(Story story, most)
cdef bint _preflight(Story story, access) except -1
@cython.locals(x=Exchange, told=Told)
cdef bint _settled(Story story, access, round_) except -1
