cpdef bint send(coroutine, value) except -1

cdef class Event:
    pass
