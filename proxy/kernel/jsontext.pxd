from libc.stdint cimport uint8_t, uint64_t

cdef const uint8_t *blanks(const uint8_t *p, const uint8_t *end) noexcept nogil
cdef const uint8_t *plain_end(const uint8_t *p, const uint8_t *end, bint *is_ascii) noexcept nogil
cdef const uint8_t *string_end(const uint8_t *p, const uint8_t *end) noexcept nogil
cdef const uint8_t *number_end(const uint8_t *p, const uint8_t *end) noexcept nogil
cdef const uint8_t *whole_of(
    const uint8_t *p, const uint8_t *end, bint *is_negative, uint64_t *size
) noexcept nogil
cdef const uint8_t *real_of(const uint8_t *p, const uint8_t *end, double *value) noexcept
cdef Py_ssize_t unescaped(const uint8_t *p, const uint8_t *end, uint8_t *out) noexcept nogil
cdef Py_ssize_t hex_of(const uint8_t *p, const uint8_t *end, uint8_t *out) noexcept nogil
cdef Py_ssize_t base64_of(const uint8_t *p, const uint8_t *end, uint8_t *out) noexcept nogil
cdef const uint8_t *literal_end(
    const uint8_t *p, const uint8_t *end, const char *word, int size
) noexcept nogil
