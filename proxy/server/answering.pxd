from proxy.kernel.clock cimport monotonic_ns
from proxy.server.story cimport Story

cpdef trace(Story story, entry)
cpdef reply(Story story, own, entry)
cpdef fail(Story story, error, entry)
cdef _leave(Story story, error)
cdef bint _take_back(Story story)
cpdef finish(Story story)
