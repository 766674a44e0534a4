from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef str method_at(const uint8_t* p, uint32_t* size)
cdef const uint8_t* skip_path(
    const uint8_t* p, const uint8_t* end, bint* is_usual
) noexcept nogil
cpdef bint is_ordinary(str path)
cpdef bint is_value(bytes text)
cpdef object decimal(bytes value)
