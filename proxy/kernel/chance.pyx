"""Random bits for ids, in C: xoshiro256++ (Blackman and Vigna, prng.di.unimi.it, public domain).

As unpredictable as `random.Random`, that is not at all for who knows enough of its output: good for
ids and sampling, and for no secret. `chance.py` is the twin.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE


cdef inline uint64_t rotated(uint64_t x, int by) noexcept nogil:
    return x << by | x >> (64 - by)


cdef class Chance:
    def __init__(self, bytes seed not None):
        if PyBytes_GET_SIZE(seed) != 32 or not any(seed):
            raise ValueError("a seed is 32 bytes that are not all zero")
        cdef const char* p = PyBytes_AS_STRING(seed)
        memcpy(&self.a, p, 8)
        memcpy(&self.b, p + 8, 8)
        memcpy(&self.c, p + 16, 8)
        memcpy(&self.d, p + 24, 8)

    cdef uint64_t next(self) noexcept:
        cdef uint64_t result = rotated(self.a + self.d, 23) + self.a
        cdef uint64_t t = self.b << 17
        self.c ^= self.a
        self.d ^= self.b
        self.b ^= self.c
        self.a ^= self.d
        self.c ^= t
        self.d = rotated(self.d, 45)
        return result

    def __call__(self, int bits):
        if not 0 <= bits:
            raise ValueError("number of bits must be non-negative")
        value = 0
        cdef int made = 0
        while made < bits:
            value |= <object>self.next() << made
            made += 64
        return value >> (made - bits)


def source(bytes seed not None):
    return Chance(seed)
