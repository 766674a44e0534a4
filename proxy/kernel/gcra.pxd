cdef class Table:
    cdef unsigned long long* _cells
    cdef unsigned long long _mask
    cdef object _memory

    cpdef long long take(
        self, unsigned long long key, long long now, long long cost, long long most
    ) except -1
