from proxy.http.target cimport Authorities
from proxy.server.outbox cimport Outbox
from proxy.server.snapshot cimport Snapshot
from proxy.server.sides cimport Lender, StoryEvents
from proxy.server.snapshot cimport Snapshot
from proxy.telemetry.recorder cimport Recorder
from proxy.upstream.endpoint cimport Endpoint

cdef class House:
    cdef public Snapshot snapshot
    cdef public Recorder recorder
    cdef public Authorities authorities
    cdef public object upstreams, turns, faults, limiter, mirrors, overload, h2, random, getrandbits
    cdef public object asks, clients, keysets, mesh
    cdef public Outbox outbox
    cdef public bint draining, in_maintenance, switched
    cdef public dict _pools

    cpdef Lender pool_of(self, Endpoint endpoint)
    cpdef Lender open_pool(self, Endpoint endpoint)
