cpdef Py_ssize_t find_blank(bytes data, bytes blank, Py_ssize_t start) except -2
cpdef bytes length_line(long long length)
cpdef bytes joined(bytes first, bytes second)
cpdef bytes behind(bytes data, bytes before)
cpdef bytes upto(bytes data, Py_ssize_t end)
