cimport cython

from proxy.kernel.lines cimport Lines
from proxy.kernel.pen cimport Doubles, IntAttribute, Pen, TextAttribute
from proxy.kernel.sources cimport Sources
from proxy.telemetry.blocks cimport ServerBlock
from proxy.telemetry.facts cimport Attempt, Exchange
from proxy.tracing.context cimport TraceContext

cdef int ORDINARY
cdef bytes _ASKED_FOR, _NOT_ASKED_FOR


cdef class RecordEncoder:
    cdef public object look
    cdef Pen _pen
    cdef Lines _lines
    cdef Sources _sources
    cdef TextAttribute _path, _query, _request_id, _parent
    cdef Doubles _duration
    cdef IntAttribute _in, _out

    @cython.locals(pen=Pen, sources=Sources, took="long long", flags=int, attempts=list,
                   last=Attempt)
    cpdef record(self, Exchange exchange, ServerBlock block, str query, bint hinted=*,
                 long long left_out=*)

    @cython.locals(lines=Lines, took="long long", attempts=list, last=Attempt)
    cpdef line(self, Exchange exchange, ServerBlock block, str query)

    cpdef people(self, Exchange exchange, ServerBlock block, str query)

    @cython.locals(context=TraceContext, pen=Pen)
    cdef _hint(self, Exchange exchange)
