"""Which field names are special, and finding out which one a head's bytes spell.

`http/headers.py` says which they are when it is imported. A name is found by a hash without
collisions, and once found it is known by its spelling, since peers send the same names again and
again. Both compare every byte before they believe the hash.

Bounds: bytes are read up to `end` alone; a name is kept only where 32 bytes are there (`fields.pyx`
sees to it), and at `hash` < KEPT, which has nine bits, or `hash` ^ 1.
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


def know_names(dict places, request, response, noticed, repeated, dict marks):
    """`places`: all special names, in lower case, and of each the place of its bit, which several
    may share; which of them are special in requests and in responses, which are passed on and
    noticed in those, and which have the same value again and again. `marks`: the places of the bits
    "old", HTTP/1.0, and "underscored"."""
    global NAMES, LENGTH, CODING, NOTICED, OLD
    NAMES = tuple(places)
    memset(REPEATED, 0, sizeof(REPEATED))
    memset(BITS, 0, sizeof(BITS))
    for kind, name in enumerate(NAMES, 1):
        BITS[<int>kind] = 1ULL << <int>places[name]
        REPEATED[<int>kind] = name in repeated
    _fill(&REQUESTS, places, [n for n in NAMES if n in request], ())
    _fill(&RESPONSES, places, [n for n in NAMES if n in response or n in noticed], noticed)
    REQUESTS.underscore, RESPONSES.underscore = marks["underscored"], NOWHERE
    OLD = 1ULL << <int>marks["old"]
    NOTICED = 0
    for name in noticed:
        NOTICED |= 1ULL << <int>places[name]
    LENGTH = 1ULL << <int>places[b"content-length"]
    CODING = 1ULL << <int>places[b"transfer-encoding"]


cdef _fill(Names* names, dict places, list special, noticed):
    """A hash without collisions, found by trying."""
    cdef uint32_t seed = 1
    cdef bytes name
    cdef Special* slot
    while True:
        seed += 2
        if len({hash_of(name, len(name), seed) >> 7 & (SLOTS - 1) for name in special}) == len(
            special
        ):
            break
    memset(names, 0, sizeof(Names))
    names.seed = seed
    for kind, name in enumerate(NAMES, 1):
        if name in special:
            found = hash_of(name, len(name), seed)
            slot = &names.slots[<int>(found >> 7 & (SLOTS - 1))]
            slot.hash, slot.size, slot.name = found, len(name), name  # NAMES keeps them
            slot.kind = PASSED if name in noticed else kind
            slot.place = places[name]


cdef bint same_name(const uint8_t* low, const uint8_t* name, uint32_t size) noexcept nogil:
    """Whether `name` is `low`, which is in lower case."""
    cdef uint32_t k
    for k in range(size):
        if LOWER[name[k]] != low[k]:
            return False
    return True


cdef bint look_up(
    const uint8_t* p, const uint8_t* end, Names* names, Spelled* into
) noexcept nogil:
    """Whether a name and its colon are at `p`; how long it is, and what it means."""
    cdef const uint8_t* at = p
    cdef uint32_t hash = 0, size
    cdef uint8_t c
    cdef bint underscore = False
    cdef Special* slot
    while at < end:
        c = LOWER[at[0]]
        if c == 0:
            break
        underscore |= c == 95
        hash = hash * names.seed + c
        at += 1
    if at == p or at == end or at[0] != 58:
        return False
    size = <uint32_t>(at - p)
    into.size = size
    into.kind, into.place = PASSED, names.underscore if underscore else NOWHERE
    slot = &names.slots[hash >> 7 & (SLOTS - 1)]
    if slot.hash == hash and slot.size == size and same_name(slot.name, p, size):
        into.kind, into.place = slot.kind, slot.place
    return True


cdef const Spelled* learn(
    const uint8_t* p, const uint8_t* end, Names* names, uint32_t hash
) noexcept nogil:
    """The name at `p`, of less than 32 bytes of which 32 are there, to be kept for the next time;
    NULL: it is none."""
    cdef Spelled found
    if not look_up(p, end, names, &found):
        return NULL
    names.kept[hash ^ 1] = names.kept[hash]
    keep_name(found.bytes, p, found.size)
    names.kept[hash] = found
    return &names.kept[hash]
