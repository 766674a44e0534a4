"""Window: the block of a lane that is being filled. The rules are in lane.py.

Bytes are copied to [at, at + size), which lies within the memory: `put` looks, whatever `at` and
`end` say. The head is stored with release order, so that no processor and no compiler lets it be
seen before the bytes that it publishes.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #define store_release(place, value) __atomic_store_n((place), (value), __ATOMIC_RELEASE)
    """
    void store_release(uint64_t* place, uint64_t value) noexcept nogil


cdef class Window:
    def __cinit__(self, memory, int head):
        PyObject_GetBuffer(memory, &self._buffer, PyBUF_WRITABLE)
        self._held = True
        self._memory = <char*>self._buffer.buf
        self._size = self._buffer.len
        if head < 0 or 8 * (head + 1) > self._size or <size_t>self._memory % 8:
            raise ValueError("no cell of this memory")
        self._head = <uint64_t*>self._memory + head

    def __dealloc__(self):
        if self._held:
            PyBuffer_Release(&self._buffer)

    cdef bint put(self, const char* entries, Py_ssize_t size, long long items) noexcept:
        cdef long long stop = self.at + size
        if stop >= self.end or self.at < 0 or self.end > self._size:
            return False
        memcpy(self._memory + self.at, entries, size)
        self.at = stop
        self.position += (<uint64_t>items << 32) + <uint64_t>size
        store_release(self._head, self.position)
        return True

    cpdef bint write(self, bytes entries, long long items):
        return self.put(entries, len(entries), items)

    cpdef publish(self, uint64_t position):
        self.position = position
        store_release(self._head, position)
