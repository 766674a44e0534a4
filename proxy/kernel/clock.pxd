cpdef long long monotonic_ns() noexcept nogil
cpdef long long time_ns() noexcept nogil
