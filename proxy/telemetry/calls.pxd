from proxy.telemetry.blocks cimport ClientBlock, RouteBlocks, ServerBlock
from proxy.telemetry.facts cimport Call, Exchange

cpdef str method(RouteBlocks route, Call call)
cpdef tuple server_block(RouteBlocks route, tuple kind, Call call, registry)
cpdef ClientBlock client_block(
    RouteBlocks route, tuple kind, tuple address, Call call, int code, registry
)
cpdef list originals(Exchange exchange, str method)
cdef _keep(RouteBlocks route, tuple key, made)
