cimport cython

cdef list _LINES

@cython.locals(customary=bytes, line=bytes)
cpdef bytes status_line(int status, bytes reason)
