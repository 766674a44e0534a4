cpdef bytes request_start(str method, str target, str authority)
cpdef bytes write_head(
    bytes start, object came, frozenset removed, list added, list more, bytes framing
)
cpdef bytes chunk(bytes before, bytes data, bint last)
