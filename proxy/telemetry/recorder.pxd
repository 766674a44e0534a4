cimport cython

from proxy.telemetry cimport calls
from proxy.kernel.counts cimport Number
from proxy.kernel.lane cimport Window
from proxy.kernel.pen cimport Pen
from proxy.telemetry.access cimport RecordEncoder
from proxy.telemetry.blocks cimport ClientBlock, RouteBlocks, ServerBlock
from proxy.telemetry.contexts cimport Contexts, Few, Seen
from proxy.telemetry.facts cimport Attempt, Exchange
from proxy.telemetry.redact cimport Redactor
from proxy.telemetry.span cimport SpanEncoder


cdef class Recorder:
    cdef public object registry, sink
    cdef public long long finished
    cdef public bint spans, logs, lines, json, hints, watched
    cdef Pen _pen
    cdef SpanEncoder _span
    cdef RecordEncoder _record
    cdef Redactor _redactor
    cdef Window _span_window, _log_window, _line_window
    cdef object _span_lane, _log_lane, _line_lane
    cdef dict _active
    cdef str _active_scheme
    cdef Number _active_number
    cdef readonly Contexts contexts
    cdef Few _few
    cdef Seen _seen
    cdef frozenset _methods
    cdef bint _body_sizes, _exemplars
    cdef RouteBlocks _no_route
    cdef set _routes

    @cython.locals(scheme=str)
    cpdef begin(self, Exchange exchange)

    @cython.locals(number=Number)
    cdef _activate(self, str scheme)

    cdef _deactivate(self, Exchange exchange)

    @cython.locals(block=ServerBlock, query=str, traced=bint, hinted=bint, logged=bint)
    cpdef finish(self, Exchange exchange)

    @cython.locals(failed=bint, took="long long")
    cdef bint _is_seen(self, Exchange exchange, ServerBlock block) except -1
    @cython.locals(attempt=Attempt, client=ClientBlock, took="long long", traced=bint, query=str,
                   block=ServerBlock, logged=bint)
    cpdef tried(self, Exchange exchange, bint remote)

    cdef ServerBlock _call_block(self, RouteBlocks route, Exchange exchange, str error)

    @cython.locals(attempt=Attempt, attempts=list, client=ClientBlock, took="long long")
    cdef _count(self, Exchange exchange, ServerBlock block)

    @cython.locals(span=SpanEncoder, exemplars=bint, offset="long long", trace_id=bytes,
                   took="long long", time="long long", end="long long", items="long long",
                   attempt=Attempt, attempts=list, client=ClientBlock)
    cdef _trace(self, Exchange exchange, ServerBlock block, str query)

    @cython.locals(left_out="long long")
    cdef _tell(self, Exchange x, ServerBlock block, str query, bint logged, bint hint)

    @cython.locals(route=RouteBlocks, error=str, block=ServerBlock)
    cdef ServerBlock _server_block(self, Exchange exchange)

    @cython.locals(route=RouteBlocks, error=str, block=ClientBlock)
    cdef ClientBlock _client_block(self, Exchange exchange, Attempt attempt)

    @cython.locals(block=ClientBlock)
    cdef ClientBlock _other_client_block(
        self, RouteBlocks route, Exchange exchange, Attempt attempt, str error
    )
