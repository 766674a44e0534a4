"""Stepping a coroutine without an exception at its end; step.py states the rule."""

from cpython.ref cimport PyObject, Py_XDECREF

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN, PYGEN_ERROR, PYGEN_NEXT
    PySendResult PyIter_Send(object coroutine, object value, PyObject **result) except PYGEN_ERROR


cpdef bint send(coroutine, value) except -1:
    """Run `coroutine` to its next wait; False if it has ended instead."""
    cdef PyObject *result = NULL
    cdef PySendResult how = PyIter_Send(coroutine, value, &result)
    Py_XDECREF(result)
    return how == PYGEN_NEXT
