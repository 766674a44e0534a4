from libc.stdint cimport uint8_t, uint64_t

cdef class ChunkedDecoder:
    cdef int _state
    cdef bint _padded
    cdef uint64_t _left
    cdef Py_ssize_t _extensions, _size
    cdef int _budget
    cdef readonly bytes _line
    cdef readonly bint done
    cdef public bint has_more
    cdef public list trailers
    cdef public bytes rest

    cpdef list feed(self, bytes data)
    cdef int _keep(self, const uint8_t* part, Py_ssize_t size) except -1
    cdef int _take_line(self, const uint8_t* line, Py_ssize_t size) except -1
    cdef Py_ssize_t _check_size(
        self, const uint8_t* line, Py_ssize_t size, Py_ssize_t length
    ) except -1
    cdef int _take_size(self, const uint8_t* line, Py_ssize_t size) except -1
    cdef int _take_trailer(self, const uint8_t* line, Py_ssize_t size) except -1
