cimport cython

from proxy.kernel.pen cimport Doubles, Pen, TextAttribute
from proxy.kernel.sources cimport Sources
from proxy.telemetry.blocks cimport ClientBlock, ServerBlock
from proxy.telemetry.facts cimport Attempt, Exchange
from proxy.tracing.context cimport TraceContext


cdef int SAMPLED, RANDOM, HAS_IS_REMOTE, IS_REMOTE, OURS, OURS_RANDOM, ORDINARY, ALL_WITHHELD
cdef bytes _NOT_SAMPLED, _ALL_WITHHELD, _STATE_WITHHELD


cdef class SpanEncoder:
    cdef Pen _pen
    cdef Sources _sources
    cdef TextAttribute _path, _query, _request_id, _url
    cdef Doubles _all_phases, _unanswered, _own_only

    @cython.locals(pen=Pen, sources=Sources, context=TraceContext, flags=int, parent=bytes,
                   wall="long long", end="long long")
    cpdef server(self, Exchange exchange, ServerBlock block, str query)

    @cython.locals(pen=Pen, context=TraceContext, flags=int, offset="long long", start="long long", end="long long")
    cpdef client(self, Exchange exchange, Attempt attempt, ClientBlock block, str query,
                 bint remote=*)

    @cython.locals(attempts=list, first=Attempt, attempt=Attempt, answered=bint,
                   total="long long", queue="long long", connect="long long",
                   first_byte="long long", upstream="long long", end="long long", own=double)
    cdef _phases(self, Exchange exchange)
