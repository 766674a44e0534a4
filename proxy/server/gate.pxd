cimport cython

from proxy.access.check cimport Asked, Identity, Refusal
from proxy.access.round cimport Round, Wanted
from proxy.http.edits cimport Edits
from proxy.http.head cimport RequestHead
from proxy.server.peer cimport Peer
from proxy.server.story cimport Story
from proxy.telemetry.facts cimport Exchange, Told

cdef long long _FORWARDED

@cython.locals(told=Told)
cpdef tell(Story story, access)
@cython.locals(round_=Round)
cpdef enter(Story story, access, rates, captures)
@cython.locals(told=Told, edits=Edits)
cpdef edit(Story story, access)
@cython.locals(x=Exchange, peer=Peer, asked=Asked)
cdef Asked _asked(Story story)
@cython.locals(head=RequestHead)
cdef _address(Story story, access)
@cython.locals(told=Told)
cdef _per_client(Story story, most)
cdef bint _preflight(Story story, access) except -1
@cython.locals(x=Exchange, told=Told, identity=Identity, refusal=Refusal)
cdef bint _settled(Story story, access, Round round_) except -1
