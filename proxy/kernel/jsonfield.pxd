from libc.stdint cimport uint8_t

from proxy.kernel.protowrite cimport Buffer
from proxy.kernel.wire cimport Entry

cdef enum:
    TEXT = 4 * 1024 * 1024  # bytes of one text, as in json_cursor

cdef const uint8_t *scalar(
    Buffer *buffer, const uint8_t *p, const uint8_t *end, const Entry *entry, int number, bint packed
) noexcept
