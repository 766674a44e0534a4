cimport cython

cdef int _SLOTS

cpdef bint may_retry(
    retry, str method, long long attempt, outcome, bint repeatable, double left
) except -1
cpdef bint may_retry_call(
    retry, int code, long long attempt, bint repeatable, double left
) except -1
cpdef double backoff(retry, long long attempt, double random) except? -1


cdef class Budget:
    cdef long long _now, _requested, _retried
    cdef long long _requests[10]  # WINDOW
    cdef long long _retries[10]

    @cython.locals(second=cython.longlong)
    cpdef request(self, double now)
    @cython.locals(second=cython.longlong)
    cpdef bint take(self, double now, double share, double floor=*)
    @cython.locals(passed=cython.longlong)
    cdef _advance(self, long long second)
