cpdef bint send(coroutine, value) except -1
