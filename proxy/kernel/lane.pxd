from libc.stdint cimport uint64_t


cdef class Window:
    cdef public long long at, end
    cdef public uint64_t position
    cdef Py_buffer _buffer  # held as long as this lives, so that the memory stays where it is
    cdef bint _held
    cdef char* _memory
    cdef long long _size
    cdef uint64_t* _head

    cdef bint put(self, const char* entries, Py_ssize_t size, long long items) noexcept
    cpdef bint write(self, bytes entries, long long items)
    cpdef publish(self, uint64_t position)
