cpdef bint is_grpc(bytes content_type)
cpdef parse_timeout(bytes value)
cpdef bytes format_timeout(ns)
cpdef int parse_status(bytes value) except -1
cpdef int status_in(tuple trailers) except -1
cpdef int of_http(int status) except -1
