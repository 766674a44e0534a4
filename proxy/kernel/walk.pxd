from libc.stdint cimport uint32_t

cimport cython


cdef struct Place:
    uint32_t hash
    uint32_t number  # in Node.below, from 1 on; 0 = free


@cython.final
cdef class Node:
    cdef Node capture
    cdef list ends, prefixes  # None while nothing is in them, as is `below`
    cdef bytes name  # of the segment that leads here, UTF-8
    cdef list below  # Nodes
    cdef Place* places  # NULL while there are few below
    cdef Py_ssize_t mask  # their number - 1


@cython.final
cdef class Tree:
    cdef Node _root

    cpdef put(self, segments, thing, bint is_prefix)
    cpdef list parts(self)
    cpdef list first(self, str path)
    cpdef list all(self, str path)
