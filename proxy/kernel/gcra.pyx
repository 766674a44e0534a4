"""The table in which rate limits are counted; see `gcra.py`, whose twin in C this is.

Nothing is locked: `tat` moves by compare-and-swap, and who loses looks again. So a process that is
killed at any place leaves nothing behind that others wait for. A slot gets its new key first and
its tat after that. Where two processes bring the same new key at the same moment, or take one slot
for two keys, a request or a burst too many may be let in once; a key that is there already is exact.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

cdef extern from *:
    """
    static inline unsigned long long spangate_load(unsigned long long *at) {
        return __atomic_load_n(at, __ATOMIC_ACQUIRE);
    }
    static inline int spangate_swap(
        unsigned long long *at, unsigned long long before, unsigned long long after
    ) {
        return __atomic_compare_exchange_n(
            at, &before, after, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    """
    unsigned long long spangate_load(unsigned long long* at) nogil
    bint spangate_swap(
        unsigned long long* at, unsigned long long before, unsigned long long after
    ) nogil

cdef enum:
    _PROBES = 16
    _HEADER = 64
    _SLOT = 16

PROBES = _PROBES
HEADER = _HEADER
SLOT = _SLOT


cdef class Table:
    def __init__(self, memory, fd=-1):
        cdef Py_buffer view
        PyObject_GetBuffer(memory, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        cdef Py_ssize_t slots = (view.len - _HEADER) // _SLOT
        self._memory = memoryview(memory)  # keeps it mapped for as long as this lives
        self._cells = <unsigned long long*>(<char*>view.buf + _HEADER)
        PyBuffer_Release(&view)
        if slots < _PROBES or slots & (slots - 1):
            raise ValueError("a table has a power of two slots")
        self._mask = <unsigned long long>(slots - 1)

    cpdef long long take(
        self, unsigned long long key, long long now, long long cost, long long most
    ) except -1:
        cdef unsigned long long first, held, tat, least, oldest
        cdef unsigned long long* best
        cdef unsigned long long* at
        cdef long long owed
        cdef int i
        if key == 0:
            key = 1
        first = key & self._mask & ~(<unsigned long long>(_PROBES - 1))
        while True:
            best = NULL
            least = ~(<unsigned long long>0)
            oldest = 0
            for i in range(_PROBES):
                at = self._cells + (first + i) * 2
                held = spangate_load(at)
                tat = spangate_load(at + 1)
                if held == key:
                    best = at
                    least = tat
                    oldest = key
                    break
                if best == NULL or tat < least:
                    best = at
                    least = tat
                    oldest = held
            owed = 0
            if oldest == key and <long long>least > now:
                owed = <long long>least - now
            if owed > most:
                return owed
            if oldest != key and not spangate_swap(best, oldest, key):
                continue
            if spangate_swap(best + 1, least, <unsigned long long>(now + owed + cost)):
                return owed
