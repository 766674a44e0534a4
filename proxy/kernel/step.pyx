"""Stepping a coroutine without an exception at its end; step.py states the rule."""

cimport cython
from cpython.ref cimport Py_INCREF, PyObject, Py_XDECREF

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN, PYGEN_ERROR, PYGEN_NEXT
    ctypedef struct PyAsyncMethods:
        PySendResult (*am_send)(object, object, PyObject **) except PYGEN_ERROR
    ctypedef struct PyTypeObject:
        PyAsyncMethods *tp_as_async
    PySendResult PyIter_Send(object coroutine, object value, PyObject **result) except PYGEN_ERROR


cpdef bint send(coroutine, value) except -1:
    """Run `coroutine` to its next wait; False if it has ended instead."""
    cdef PyObject *result = NULL
    cdef PySendResult how = PyIter_Send(coroutine, value, &result)
    Py_XDECREF(result)
    return how == PYGEN_NEXT


cdef class Event:
    """What a coroutine awaits that is stepped: the await's value is what is sent to it."""

    def __await__(self):
        return Wait.__new__(Wait)


@cython.freelist(64)
@cython.no_gc
@cython.final
cdef class Wait:
    """One await of it: it begins with a send of nothing, and ends with the next."""

    cdef bint begun

    def __await__(self):
        return self

    def __next__(self):
        if self.begun:
            raise StopIteration
        self.begun = True

    def send(self, value):
        """For interpreters that do not use C's protocol: 3.12 and later."""
        raise StopIteration(value)


cdef PySendResult answer(object wait, object value, PyObject **result) except PYGEN_ERROR:
    """PEP 380's send, as C's protocol has it: no StopIteration for a value."""
    cdef bint begun = (<Wait>wait).begun
    (<Wait>wait).begun = True
    Py_INCREF(value)
    result[0] = <PyObject *>value
    return PYGEN_RETURN if begun else PYGEN_NEXT


(<PyTypeObject *>Wait).tp_as_async.am_send = answer
