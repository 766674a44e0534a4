cimport cython


cdef struct Standing:
    double at
    double step
    long long number  # of this place; void if it is not Queue._numbers[slot] any more
    Py_ssize_t slot  # in Queue._things


@cython.final
cdef class Queue:
    cdef Standing* _heap
    cdef Py_ssize_t _standing, _room  # of the heap: places taken, places there are
    cdef long long* _numbers  # by slot; as many as there are places in the heap
    cdef long long _number
    cdef list _things, _free  # by slot; slots that nobody has
    cdef dict _slots  # by thing

    cpdef Py_ssize_t void(self)
    cpdef object turn(self)
    cpdef put(self, thing, double step)
    cpdef drop(self, thing)
    cdef int _stand(self, thing, double at, double step) except -1
    cdef int _widen(self) except -1
