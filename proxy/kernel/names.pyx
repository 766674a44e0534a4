"""Which field names are special, and finding out which one a head's bytes spell.

`http/headers.py` says which they are when it is imported. A name is found by a hash without
collisions, and once found it is known by its spelling, since peers send the same names again and
again. Both compare every byte before they believe the hash.

Bounds: bytes are read below `n` alone, words only where 32 bytes are left.
"""

from libc.string cimport memset

cdef extern from "vectors.h":
    enum: WORDS
    uint64_t word(const uint8_t* p) noexcept nogil
    int colon(uint64_t w) noexcept nogil
    uint64_t lowest(uint64_t w, int bytes) noexcept nogil

memset(&REQUESTS, 0, sizeof(Names))
memset(&RESPONSES, 0, sizeof(Names))
memset(LOWER, 0, sizeof(LOWER))
for _at in range(0x21, 0x7F):
    if chr(_at) not in '"(),/:;<=>?@[\\]{}':
        LOWER[<int>_at] = ord(chr(_at).lower())


cdef uint32_t hash_of(const uint8_t* name, uint32_t size, uint32_t seed) noexcept nogil:
    cdef uint32_t found = 0, i
    for i in range(size):
        found = found * seed + LOWER[name[i]]
    return found


def know_names(tuple names, request, response, noticed):
    """`names`: all special names, in lower case, whose places give kinds and bits; which of them
    are special in requests and in responses, and which is passed on and noticed in those."""
    global NAMES, LENGTH, CODING, NOTICED, UNDERSCORED
    NAMES = names
    _fill(&REQUESTS, [n for n in names if n in request], ())
    _fill(&RESPONSES, [n for n in names if n in response or n in noticed], noticed)
    REQUESTS.underscored = UNDERSCORED = 1ULL << 62
    for name in noticed:
        NOTICED |= 1ULL << <int>names.index(name)
    LENGTH = 1ULL << <int>names.index(b"content-length")
    CODING = 1ULL << <int>names.index(b"transfer-encoding")


cdef _fill(Names* names, list special, noticed):
    """A hash without collisions, found by trying."""
    cdef uint32_t seed = 1
    cdef bytes name
    cdef Special* slot
    while True:
        seed += 2
        if len({hash_of(name, len(name), seed) >> 7 & (SLOTS - 1) for name in special}) == len(special):
            break
    memset(names, 0, sizeof(Names))
    names.seed = seed
    for name in special:
        place = NAMES.index(name)
        found = hash_of(name, len(name), seed)
        slot = &names.slots[<int>(found >> 7 & (SLOTS - 1))]
        slot.hash, slot.size, slot.name = found, len(name), name  # NAMES keeps them
        slot.kind = PASSED if name in noticed else place + 1
        slot.bit = 1ULL << <int>place


cdef uint32_t look_up(
    const uint8_t* p, uint32_t i, uint32_t n, Names* names, Spelled* into
) noexcept nogil:
    """The end of the name at `i`, where its colon is, and what it means; 0: it is no name."""
    cdef uint32_t j = i, hash = 0
    cdef uint8_t c
    cdef bint underscore = False
    cdef Special* slot
    while j < n:
        c = LOWER[p[j]]
        if c == 0:
            break
        underscore |= c == 95
        hash = hash * names.seed + c
        j += 1
    if j == i or j == n or p[j] != 58:
        return 0
    into.kind, into.bit = PASSED, names.underscored if underscore else 0
    slot = &names.slots[hash >> 7 & (SLOTS - 1)]
    if slot.hash == hash and slot.size == j - i and same_name(slot.name, p + i, j - i):
        into.kind, into.bit = slot.kind, slot.bit
    return j


cdef bint same_name(const uint8_t* low, const uint8_t* name, uint32_t size) noexcept nogil:
    cdef uint32_t k
    for k in range(size):
        if LOWER[name[k]] != low[k]:
            return False
    return True


cdef uint32_t name_of(
    const uint8_t* p, uint32_t i, uint32_t n, Names* names, uint8_t* kind, uint64_t* bit
) noexcept nogil:
    """As look_up, but names that came before, spelled alike, are known at a third of its price.

    What is compared are all bytes of a name of less than 32, and its size.
    """
    cdef uint64_t a, b = 0, c = 0, d = 0
    cdef int at
    cdef uint32_t size
    cdef Spelled* known
    cdef Spelled found
    if not WORDS or n - i < 32:
        i = look_up(p, i, n, names, &found)
        kind[0], bit[0] = found.kind, found.bit
        return i
    a = word(p + i)
    at = colon(a)
    size = at
    if at < 8:
        a = lowest(a, at)
    else:
        b = word(p + i + 8)
        at = colon(b)
        size += at
        if at < 8:
            b = lowest(b, at)
        else:
            c = word(p + i + 16)
            at = colon(c)
            size += at
            if at < 8:
                c = lowest(c, at)
            else:
                d = word(p + i + 24)
                at = colon(d)
                size += at
                d = lowest(d, at) if at < 8 else 0
    known = &names.spelled[(a + 3 * b + 5 * c + 9 * d) * 0x9E3779B97F4A7C15ULL >> 56]
    if (
        known.word[0] == a and known.word[1] == b and known.word[2] == c and known.word[3] == d
        and known.size == size and size < 32
    ):
        kind[0], bit[0] = known.kind, known.bit
        return i + size if size else 0
    i = look_up(p, i, n, names, &found)
    kind[0], bit[0] = found.kind, found.bit
    if i and size < 32:
        found.word[0], found.word[1], found.word[2], found.word[3] = a, b, c, d
        found.size = size
        known[0] = found
    return i
