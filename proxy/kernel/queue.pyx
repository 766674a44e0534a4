# cython: boundscheck=False, wraparound=False, nonecheck=False, initializedcheck=False
"""A queue of things that come round again and again, the earliest deadline first; see queue.py.

Beside a list of tuples and heapq this makes a turn among 1,000 endpoints a tenth of what it
was (benchmarks.scale_routes).

Bounds: the heap has `_standing` places of `_room`, and `_stand` makes room before it takes one.
A slot is below the number of things ever there at once, which is at most that of the places, so
that `_numbers` has one for each.
"""

from cpython.list cimport PyList_GET_ITEM
from cpython.mem cimport PyMem_Free, PyMem_Realloc

cimport cython


cdef class Queue:
    def __init__(self, things):
        self._things = []
        self._free = []
        self._slots = {}
        for thing, step in things:
            self._stand(thing, step, step)

    def __dealloc__(self):
        PyMem_Free(self._heap)
        PyMem_Free(self._numbers)

    def __len__(self):
        return len(self._slots)

    cpdef Py_ssize_t void(self):
        return self._standing - len(self._slots)

    cpdef object turn(self):
        cdef Standing* first = self._heap
        while self._standing:
            if self._numbers[first.slot] == first.number:
                thing = <object>PyList_GET_ITEM(self._things, first.slot)
                first.at += first.step
                sink(first, self._standing)
                return thing
            self._standing -= 1
            first[0] = first[self._standing]
            sink(first, self._standing)
        return None

    cpdef put(self, thing, double step):
        self._stand(thing, step + (self._heap[0].at if self._standing else 0.0), step)

    cpdef drop(self, thing):
        slot = self._slots.pop(thing, None)
        if slot is not None:
            self._numbers[<Py_ssize_t>slot] = 0
            self._things[<Py_ssize_t>slot] = None
            self._free.append(slot)

    cdef int _stand(self, thing, double at, double step) except -1:
        cdef Py_ssize_t slot
        cdef Standing* place
        if self._standing == self._room:
            self._widen()
        known = self._slots.get(thing)
        if known is not None:
            slot = known
        elif self._free:
            slot = self._free.pop()
            self._things[slot] = thing
            self._slots[thing] = slot
        else:
            slot = len(self._things)
            self._things.append(thing)
            self._slots[thing] = slot
        self._number += 1
        self._numbers[slot] = self._number
        place = &self._heap[self._standing]
        place.at = at
        place.step = step
        place.number = self._number
        place.slot = slot
        self._standing += 1
        rise(self._heap, self._standing - 1)
        return 0

    cdef int _widen(self) except -1:
        cdef Py_ssize_t room = 2 * self._room + 16
        cdef void* bigger = PyMem_Realloc(self._heap, room * sizeof(Standing))
        if bigger is NULL:
            raise MemoryError
        self._heap = <Standing*>bigger
        bigger = PyMem_Realloc(self._numbers, room * sizeof(long long))
        if bigger is NULL:
            raise MemoryError
        self._numbers = <long long*>bigger
        self._room = room
        return 0


cdef inline bint earlier(const Standing* a, const Standing* b) noexcept:
    return a.at < b.at or (a.at == b.at and a.number < b.number)


cdef void sink(Standing* heap, Py_ssize_t size) noexcept:
    """Put the first one where it belongs."""
    cdef Standing moving = heap[0]
    cdef Py_ssize_t at = 0, below = 1
    while below < size:
        if below + 1 < size and earlier(&heap[below + 1], &heap[below]):
            below += 1
        if not earlier(&heap[below], &moving):
            break
        heap[at] = heap[below]
        at = below
        below = 2 * at + 1
    heap[at] = moving


cdef void rise(Standing* heap, Py_ssize_t at) noexcept:
    """Put one where it belongs that stands too far behind."""
    cdef Standing moving = heap[at]
    cdef Py_ssize_t above = (at - 1) // 2
    while at > 0 and earlier(&moving, &heap[above]):
        heap[at] = heap[above]
        at = above
        above = (at - 1) // 2
    heap[at] = moving
