"""Which field names are special, and finding out which one a head's bytes spell.

`http/headers.py` says which they are when it is imported. A name is found by a hash without
collisions, and once found it is known by its spelling, since peers send the same names again and
again. Both compare every byte before they believe the hash.

Bounds: bytes are read below `n` alone; a name is kept only where `n` leaves 32 bytes for it, and
at `hash` < KEPT or `hash` ^ 1.
"""

from libc.string cimport memset

cdef extern from "vectors.h":
    void keep_name(uint8_t* kept, const uint8_t* p, uint32_t size) noexcept nogil

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


def know_names(tuple names, request, response, noticed, repeated):
    """`names`: all special names, in lower case, whose places give kinds and bits; which of them
    are special in requests and in responses, which are passed on and noticed in those, and which
    have the same value again and again."""
    global NAMES, LENGTH, CODING, NOTICED, REPEATED, OLD
    NAMES = names
    _fill(&REQUESTS, [n for n in names if n in request], ())
    _fill(&RESPONSES, [n for n in names if n in response or n in noticed], noticed)
    REQUESTS.underscore, RESPONSES.underscore = UNDERSCORE, NOWHERE
    OLD = 1ULL << 61
    for name in noticed:
        NOTICED |= 1ULL << <int>names.index(name)
    for name in repeated:
        REPEATED |= 1ULL << <int>names.index(name)
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
        slot.place = place


cdef bint same_name(const uint8_t* low, const uint8_t* name, uint32_t size) noexcept nogil:
    """Whether `name` is `low`, which is in lower case."""
    cdef uint32_t k
    for k in range(size):
        if LOWER[name[k]] != low[k]:
            return False
    return True


cdef bint look_up(
    const uint8_t* p, uint32_t i, uint32_t n, Names* names, Spelled* into
) noexcept nogil:
    """Whether a name and its colon are at `i`; how long it is, and what it means."""
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
        return False
    into.size = j - i
    into.kind, into.place = PASSED, names.underscore if underscore else NOWHERE
    slot = &names.slots[hash >> 7 & (SLOTS - 1)]
    if slot.hash == hash and slot.size == j - i and same_name(slot.name, p + i, j - i):
        into.kind, into.place = slot.kind, slot.place
    return True


cdef const Spelled* learn(
    const uint8_t* p, uint32_t i, uint32_t n, Names* names, uint32_t hash
) noexcept nogil:
    """The name at `i`, of less than 32 bytes, to be kept for the next time; NULL: it is none."""
    cdef Spelled found
    if not look_up(p, i, n, names, &found):
        return NULL
    names.kept[hash ^ 1] = names.kept[hash]
    keep_name(found.bytes, p + i, found.size)
    names.kept[hash] = found
    return &names.kept[hash]
