cdef list LINES
cdef tuple NO_LINE

cpdef bytes other_line(int status, bytes reason)
