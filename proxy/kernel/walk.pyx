# cython: boundscheck=False, wraparound=False, nonecheck=False, initializedcheck=False
"""A tree of path segments, and the walk through it that finds what fits a path; see walk.py.

Paths are read where they lie: as ASCII, or as UTF-8 that is made for the purpose. A segment is
found by comparing its bytes with the names below a place, one after the other while there are
FEW, else by a hash. That made a match of a template 0.6 of what it costs with a text and a
dictionary for each segment (benchmarks.scale_routes).

Bounds: `at` and `end` never exceed `last`, the end of the bytes that `held` or `path` keeps
alive. `places` has a power of two of places, at most half of them taken, so each search ends.
Nodes are only added, by `put`, and no Python code runs in a walk: what it borrows stays.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.stdint cimport uint32_t
from libc.string cimport memchr, memcmp

cimport cython

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)

cdef enum:
    FEW = 4


@cython.trashcan(True)
cdef class Node:
    def __dealloc__(self):
        PyMem_Free(self.places)


cdef class Tree:
    def __init__(self):
        self._root = Node()

    cpdef put(self, segments, thing, bint is_prefix):
        cdef Node node = self._root
        for segment in segments:
            if segment is not None:
                node = below(node, segment.encode("utf-8", "surrogatepass"))
            else:
                if node.capture is None:
                    node.capture = Node()
                node = node.capture
        if is_prefix:
            node.prefixes = [*(node.prefixes or ()), thing]
        else:
            node.ends = [*(node.ends or ()), thing]

    cpdef list parts(self):
        return [*(self._root.below or ())]

    cpdef list first(self, str path):
        cdef bytes held = None
        cdef const char* at
        cdef const char* end
        cdef const char* last
        cdef PyObject* node = <PyObject*>self._root
        cdef PyObject* child
        cdef PyObject* best = <PyObject*>self._root.prefixes
        cdef bint turned = False  # away from a capture
        if PyUnicode_IS_ASCII(path):
            at = <const char*>PyUnicode_DATA(path)
            last = at + PyUnicode_GET_LENGTH(path)
        else:
            held = path.encode("utf-8", "surrogatepass")
            at = PyBytes_AS_STRING(held)
            last = at + PyBytes_GET_SIZE(held)
        if at < last and at[0] != b"/":
            return []
        while at < last:  # at a slash
            at += 1
            end = segment_end(at, last)
            child = child_of(node, at, end - at)
            if (<Node>node).capture is not None and end > at:
                if child is NULL:
                    child = <PyObject*>(<Node>node).capture
                else:
                    turned = True
            if child is NULL:
                return None if turned else <list>best if best != <PyObject*>None else []
            node = child
            if (<Node>node).prefixes is not None:
                best = <PyObject*>(<Node>node).prefixes
            at = end
        if (<Node>node).ends is not None:
            return (<Node>node).ends
        return None if turned else <list>best if best != <PyObject*>None else []

    cpdef list all(self, str path):
        cdef bytes text = path.encode("utf-8", "surrogatepass")
        cdef const char* start = PyBytes_AS_STRING(text)
        cdef const char* last = start + PyBytes_GET_SIZE(text)
        cdef const char* at = start
        cdef const char* end
        cdef PyObject* child
        cdef Node node = self._root, following
        cdef Py_ssize_t depth = 1, offset
        cdef list found = [], untried = [], prefixes = []
        if at < last and at[0] != b"/":
            return found
        while node is not None:
            if node.prefixes is not None:
                prefixes.append((-depth, len(prefixes), node))
            following = None
            if at == last:
                if node.ends is not None:
                    found += node.ends
            else:
                end = segment_end(at + 1, last)
                child = child_of(<PyObject*>node, at + 1, end - at - 1)
                if child is not NULL:
                    following = <Node>child
                if node.capture is not None and end > at + 1:
                    if following is None:
                        following = node.capture
                    else:
                        untried.append((node.capture, depth + 1, end - start))
                at = end
            depth += 1
            if following is None and untried:
                following, depth, offset = untried.pop()
                at = start + offset
            node = following
        prefixes.sort()
        for _, _, node in prefixes:
            found += node.prefixes
        return found


cdef inline const char* segment_end(const char* at, const char* last) noexcept:
    cdef const char* slash = <const char*>memchr(at, b"/", last - at)
    return last if slash is NULL else slash


cdef inline bint is_named(PyObject* node, const char* name, Py_ssize_t length) noexcept:
    return (
        PyBytes_GET_SIZE((<Node>node).name) == length
        and memcmp(PyBytes_AS_STRING((<Node>node).name), name, length) == 0
    )


cdef inline PyObject* child_of(PyObject* node, const char* name, Py_ssize_t length) noexcept:
    """Borrowed; NULL = there is none."""
    cdef Py_ssize_t at
    cdef PyObject* child
    if (<Node>node).below is None:
        return NULL
    if (<Node>node).places is not NULL:
        return hashed_child(node, name, length)
    for at in range(PyList_GET_SIZE((<Node>node).below)):
        child = PyList_GET_ITEM((<Node>node).below, at)
        if is_named(child, name, length):
            return child
    return NULL


cdef PyObject* hashed_child(PyObject* node, const char* name, Py_ssize_t length) noexcept:
    cdef uint32_t wanted = hashed(name, length)
    cdef Py_ssize_t at = wanted & (<Node>node).mask
    cdef Place* place
    cdef PyObject* child
    while True:
        place = &(<Node>node).places[at]
        if place.number == 0:
            return NULL
        if place.hash == wanted:
            child = PyList_GET_ITEM((<Node>node).below, place.number - 1)
            if is_named(child, name, length):
                return child
        at = (at + 1) & (<Node>node).mask


cdef inline uint32_t hashed(const char* name, Py_ssize_t length) noexcept:
    """FNV-1a. Only the configuration puts names in, so nobody else can make them collide."""
    cdef uint32_t value = 2166136261
    cdef Py_ssize_t at
    for at in range(length):
        value = (value ^ <unsigned char>name[at]) * 16777619
    return value ^ (value >> 15)


cdef Node below(Node node, bytes name):
    """The node of that name below another one, made if there is none."""
    cdef PyObject* known
    cdef Node child
    known = child_of(<PyObject*>node, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    if known is not NULL:
        return <Node>known
    child = Node()
    child.name = name
    if node.below is None:
        node.below = []
    node.below.append(child)
    place_newest(node)
    return child


cdef int place_newest(Node node) except -1:
    """Where there are many below, by their hashes; all of them if the table is too small."""
    cdef Py_ssize_t number = len(node.below), first = number - 1, size, at
    cdef Place* bigger
    if number <= FEW:
        return 0
    if node.places is NULL or 2 * number > node.mask + 1:
        size = 16
        while size < 3 * number:
            size *= 2
        bigger = <Place*>PyMem_Calloc(size, sizeof(Place))
        if bigger is NULL:
            raise MemoryError
        PyMem_Free(node.places)
        node.places = bigger
        node.mask = size - 1
        first = 0
    for at in range(first, number):
        place(node, at)
    return 0


cdef void place(Node node, Py_ssize_t number) noexcept:
    cdef bytes name = (<Node>PyList_GET_ITEM(node.below, number)).name
    cdef uint32_t wanted = hashed(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    cdef Py_ssize_t at = wanted & node.mask
    while node.places[at].number != 0:
        at = (at + 1) & node.mask
    node.places[at].hash = wanted
    node.places[at].number = <uint32_t>(number + 1)
