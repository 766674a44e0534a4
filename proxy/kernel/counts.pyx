"""Number and Histogram, whose buckets are C arrays. The rules are in counts.py.

The arrays are made once, for as many buckets as there are boundaries and one more, and `_count`
cannot name another one. An exemplar's ids are owned; `None` is an object like others.
"""

from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdlib cimport calloc, free


cdef class Number:
    def __cinit__(self):
        self.seen = 0.0
        self.kept = True


cdef class Histogram:
    def __cinit__(self, tuple boundaries not None):
        cdef int place
        self._size = <int>len(boundaries)
        self._bounds = <long long*>calloc(self._size + 1, sizeof(long long))
        self._counts = <long long*>calloc(self._size + 1, sizeof(long long))
        self._exemplars = <Exemplar*>calloc(self._size + 1, sizeof(Exemplar))
        if self._bounds is NULL or self._counts is NULL or self._exemplars is NULL:
            raise MemoryError
        for place in range(self._size):
            self._bounds[place] = boundaries[place]
        self.boundaries = boundaries
        self.reported = -1
        self.seen = 0.0
        self.kept = True

    def __dealloc__(self):
        cdef int place
        if self._exemplars is not NULL:
            for place in range(self._size + 1):
                Py_XDECREF(self._exemplars[place].trace_id)
                Py_XDECREF(self._exemplars[place].span_id)
        free(self._bounds)
        free(self._counts)
        free(self._exemplars)

    cdef int _count(self, long long value) noexcept:
        cdef int bucket = 0
        while bucket < self._size and self._bounds[bucket] < value:
            bucket += 1
        self._counts[bucket] += 1
        # 128 bits in two halves: the carry, and the sign of what is added
        self._low += <unsigned long long>value
        self._high += (1 if self._low < <unsigned long long>value else 0) - (1 if value < 0 else 0)
        return bucket

    cpdef record(self, long long value):
        self._count(value)

    cpdef record_traced(self, long long value, bytes trace_id, bytes span_id, long long time):
        cdef Exemplar* exemplar = &self._exemplars[self._count(value)]
        cdef PyObject* old_trace = exemplar.trace_id
        cdef PyObject* old_span = exemplar.span_id
        Py_INCREF(trace_id)
        Py_INCREF(span_id)
        exemplar.trace_id, exemplar.span_id = <PyObject*>trace_id, <PyObject*>span_id
        exemplar.value, exemplar.time = value, time
        Py_XDECREF(old_trace)
        Py_XDECREF(old_span)

    @property
    def sum(self):
        cdef object high = self._high
        return (high << 64) + self._low

    @property
    def count(self):
        cdef long long count = 0
        cdef int place
        for place in range(self._size + 1):
            count += self._counts[place]
        return count

    @property
    def counts(self):
        return [self._counts[place] for place in range(self._size + 1)]

    @property
    def exemplars(self):
        found = []
        for place in range(self._size + 1):
            exemplar = self._exemplars[place]
            found.append(
                None if exemplar.trace_id is NULL else
                (<object>exemplar.trace_id, <object>exemplar.span_id, exemplar.value, exemplar.time)
            )
        return found
