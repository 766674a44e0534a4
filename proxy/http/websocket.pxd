cimport cython

cdef int _FIN, _OPCODE, _MASKED, _SHORT, _CLOSE, _CONTROL, _MOST_CONTROL

cdef class Frames:
    cdef public long long messages
    cdef public int close_code
    cdef public bint lost
    cdef public long long _left  # below 2**62 and a head
    cdef public bytes _head

    @cython.locals(at="long long", end="long long", size="long long")
    cpdef feed(self, bytes data)
    @cython.locals(first=int, second=int, more=int, payload="long long", size="long long")
    cdef long long _frame(self, bytes data, long long at, long long end)
    @cython.locals(first=int, payload=int, code=int)
    cdef long long _control(self, bytes data, long long at, long long end, long long size)
