cpdef Py_ssize_t end_of_head(bytes data, Py_ssize_t start) except -1
cpdef bytes length_line(long long length)
