"""The field lines of a head as offsets into the bytes that came.

Bounds: every offset of a `Line` was found by the scanner inside `data`, in the order of the struct,
and `data` is kept as long as they are. They fit 32 bits because no head is longer than
`limits.head_bytes`, which is refused before a head is read (`http/receive.py`).
"""

from libc.stdlib cimport free


cdef class Lines:
    """The field lines of one head."""

    def __cinit__(self):
        self.at = self.few
        self.room = FEW

    def __dealloc__(self):
        if self.at is not self.few:
            free(self.at)

    cpdef list pairs(self):
        cdef const uint8_t* data = self.data
        cdef Line* line = self.at
        cdef list found = []
        for _ in range(self.count):
            if line.kind == PASSED:
                found.append((data[line.start : line.name_end], data[line.value : line.end - 2]))
            line += 1
        return found

    cpdef list each(self, bytes name):
        cdef const uint8_t* data = self.data
        cdef Line* line = self.at
        cdef list found = []
        for _ in range(self.count):
            if line.kind == PASSED and data[line.start : line.name_end].lower() == name:
                found.append(data[line.value : line.value_end])
            line += 1
        return found

    cpdef remove(self, names):
        cdef const uint8_t* data = self.data
        cdef Line* line = self.at
        for _ in range(self.count):
            if line.kind == PASSED and data[line.start : line.name_end].lower() in names:
                line.kind = TAKEN
            line += 1

    cpdef drop_underscores(self):
        cdef const uint8_t* data = self.data
        cdef Line* line = self.at
        for _ in range(self.count):
            if line.kind == PASSED and b"_" in data[line.start : line.name_end]:
                line.kind = TAKEN
            line += 1
