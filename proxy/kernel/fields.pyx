"""Finding the field lines of a head: one pass, without objects and without Python.

Bounds: `scan_fields` gets a size, requires that the last byte is LF, which ends each of its loops,
and compares its place with the size once a line; vectors are loaded only where all of their bytes
are below it. Each offset of a `Line` is at most `size`, in the order of the struct. Lines are
written at `count` < `room` alone.
"""

from libc.string cimport memcpy, memset

from proxy.kernel.names cimport NOWHERE, Names, Spelled, learn, look_up

cdef extern from "vectors.h":
    const uint8_t* skip_value(const uint8_t* p, const uint8_t* end) noexcept nogil
    uint32_t name_size(const uint8_t* p) noexcept nogil
    uint32_t name_hash(const uint8_t* p, uint32_t size) noexcept nogil
    bint is_kept(const uint8_t* kept, const uint8_t* p, uint32_t size) noexcept nogil


cdef inline const Spelled* name_at(
    const uint8_t* at, const uint8_t* end, Names* names, Spelled* found
) noexcept nogil:
    """The name at `at`, behind three other bytes, which a colon follows; NULL: there is none."""
    cdef uint32_t size, hash
    cdef const Spelled* kept
    cdef uint8_t room[3 + 32 + 1]
    cdef Py_ssize_t left = end - at
    if left < 32:  # the last line: from a copy, so that no vector is loaded from beyond the end
        memset(room, 0, sizeof(room))
        memcpy(room, at - 3, left + 3)
        at, end = room + 3, room + 3 + left
    size = name_size(at)
    if size == 0 or size >= 32:
        return found if look_up(at, end, names, found) else NULL
    hash = name_hash(at, size)
    kept = &names.kept[hash]
    if kept.size == size and is_kept(kept.bytes, at, size):
        return kept
    kept = &names.kept[hash ^ 1]
    if kept.size == size and is_kept(kept.bytes, at, size):
        return kept
    return learn(at, end, names, hash)


cdef int scan_fields(const uint8_t* data, uint32_t size, Names* names, Scan* scan) noexcept nogil:
    """Field lines from `scan.next`, which is 3 or more, to the blank line, which must end the data.

    Each loop ends at the last byte at the latest, since that is LF: bytes are compared with `end`
    once a line. Offsets grow, because `at` does.
    """
    cdef const uint8_t* at = data + scan.next
    cdef const uint8_t* end = data + size
    cdef const uint8_t* value
    cdef const uint8_t* stop
    cdef uint64_t seen = scan.seen, twice = scan.twice, bit
    cdef Line* line = scan.lines + scan.count
    cdef Line* full = scan.lines + scan.room
    cdef int result = REFUSED
    cdef Spelled found
    cdef const Spelled* name
    if scan.next >= size or data[size - 1] != 10:
        return REFUSED
    while at < end:
        if at[0] == 13:
            if at[1] == 10 and at + 2 == end:
                result = WHOLE
            break
        if line == full:
            result = MORE
            break
        name = name_at(at, end, names, &found)
        if name == NULL:
            break
        line.start = <uint32_t>(at - data)
        at += name.size
        line.name_end = <uint32_t>(at - data)
        line.kind = name.kind
        if name.place != NOWHERE:
            bit = 1ULL << name.place
            twice |= seen & bit
            seen |= bit
        at += 1
        while at[0] <= 32 and (at[0] == 32 or at[0] == 9):
            at += 1
        line.value = <uint32_t>(at - data)
        value = at
        stop = at = skip_value(at, end)
        if at[0] != 13 or at[1] != 10:
            break
        while stop > value and stop[-1] <= 32:  # a space or a tab, being part of the value
            stop -= 1
        line.value_end = <uint32_t>(stop - data)
        at += 2
        line.end = <uint32_t>(at - data)
        line += 1
    scan.next = <uint32_t>(at - data)
    scan.count = <int>(line - scan.lines)
    scan.seen, scan.twice = seen, twice
    return result
