cpdef Py_ssize_t find_blank(bytes data, bytes blank, Py_ssize_t start) except -2
cpdef bytes length_line(long long length)
