cpdef bytes other_line(int status, bytes reason)
