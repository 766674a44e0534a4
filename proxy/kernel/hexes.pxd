cpdef tuple split_parent(bytes header)
cpdef list parent_fields(bytes trace_id, bytes span_id, int flags, bytes state)
cpdef bint is_hex(bytes value, Py_ssize_t digits) except -1
cpdef bint reaches(bytes trace_id, bytes bound) except -1
cpdef bytes trace_id(object getrandbits)
cpdef bytes span_id(object getrandbits)
cpdef bytes request_id(object getrandbits)
cpdef bytes span_of(bytes request_id)
