"""The clocks without a Python object for what they say; clock.py is the twin."""

cdef extern from *:
    """
    #include <time.h>
    static inline long long spangate_ns(clockid_t clock) {
      struct timespec t;
      clock_gettime(clock, &t);
      return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    #ifdef __APPLE__  /* as Python's: the one that stands still while the machine sleeps */
    #define SPANGATE_MONOTONIC CLOCK_UPTIME_RAW
    #else
    #define SPANGATE_MONOTONIC CLOCK_MONOTONIC
    #endif
    static inline long long spangate_monotonic_ns(void) { return spangate_ns(SPANGATE_MONOTONIC); }
    static inline long long spangate_time_ns(void) { return spangate_ns(CLOCK_REALTIME); }
    """
    long long spangate_monotonic_ns() noexcept nogil
    long long spangate_time_ns() noexcept nogil


cpdef long long monotonic_ns() noexcept nogil:
    return spangate_monotonic_ns()


cpdef long long time_ns() noexcept nogil:
    return spangate_time_ns()
