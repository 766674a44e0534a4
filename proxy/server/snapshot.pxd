cimport cython

from proxy.http.edits cimport Edits
from proxy.http.forwarding cimport Forwarding
from proxy.http.head cimport RequestHead
from proxy.routing.maker cimport PathMaker
from proxy.routing.split cimport Split
from proxy.routing.hosts cimport Hosts
from proxy.routing.leaf cimport Leaf
from proxy.tracing.propagate cimport Extractor, Injector
from proxy.tracing.sampling cimport Sampler
from proxy.upstream.live cimport Live
from proxy.upstream.retry cimport Budget


cdef class Target:
    cdef public str name
    cdef public Live state
    cdef public long long total_ns, stream_ns, first_byte_ns, idle_ns, body_limit  # 0 = no limit
    cdef public long long keep
    cdef public double connect, handshake
    cdef public object retry
    cdef public Injector injector
    cdef public frozenset retry_statuses
    cdef public Budget budget
    cdef public bint baggage, per_try
    cdef public object bounds  # None, or Bounds
    cdef public object hedge  # None, or Hedge
    cdef public int priority


cdef class RouteEntry:
    cdef public object route, blocks
    cdef public Sampler sampler
    cdef public PathMaker rewrite
    cdef public tuple upgrades  # protocols that may be switched to, in lower case
    cdef public object answer  # None, or to be called
    cdef public bytes host_header
    cdef public Edits request_edits, response_edits
    cdef public object rates  # None, or Rates
    cdef public object access  # None, or Access
    cdef public object message  # None, or Publishing or Delivering
    cdef public object mirror, sticky  # None, or Mirroring; or to be called
    cdef public object errors  # None, or Pages
    cdef public object maintenance  # None, or Closed
    cdef public object compression  # None, or what says which answers are compressed
    cdef public bint is_particular, needs_captures, grpc_web, is_health, is_special, is_slow
    cdef public Target only
    cdef Split _split
    cdef dict _targets

    cpdef Target pick(self, double random)


cdef class Snapshot:
    cdef object __weakref__
    cdef public object config, limits, attributes, errors
    cdef public Extractor extractor
    cdef public Sampler sampler, never
    cdef public Forwarding forwarding
    cdef public frozenset untraced
    cdef public bint passes_certificates, request_id, tells_deadline, connects, by_listener, cors
    cdef public object untrusted
    cdef public list request_headers, response_headers
    cdef public bytes trace_header
    cdef public dict streams
    cdef list _entries
    cdef object _table
    cdef Hosts _routes
    cdef dict _hosts

    @cython.locals(leaf=Leaf, entry=RouteEntry)
    cpdef tuple match(self, RequestHead head, str host)
    @cython.locals(leaf=Leaf)
    cpdef RouteEntry expected(self, RequestHead head, str host, str method)
    cpdef tuple host(self, str authority)
