from proxy.tracing.context cimport TraceContext

cpdef int trusted_as(TraceContext context) except -1
cpdef int untrusted_as(TraceContext context) except -1
