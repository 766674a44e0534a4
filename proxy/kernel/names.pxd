from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    SLOTS = 256
    KEPT = 512  # names that are known as they were spelled
    PASSED = 0  # the kind of a name that is not special
    UNDERSCORE = 62  # the place of any name with an underscore
    NOWHERE = 63  # of any other that is not special

cdef struct Special:  # a name and what it means; a place is that in NAMES and that of its bit
    uint32_t hash
    uint8_t size, kind, place
    const uint8_t* name

cdef struct Spelled:  # a name as a peer spelled it, with zeros behind, and what it means
    uint8_t bytes[32]
    uint32_t size
    uint8_t kind, place

cdef struct Names:
    uint32_t seed  # 0 = nobody said what is special
    uint8_t underscore  # the place of names with an underscore: UNDERSCORE or NOWHERE
    Special slots[SLOTS]
    Spelled kept[KEPT]  # at name_hash() or beside it

cdef Names REQUESTS, RESPONSES
cdef uint8_t LOWER[256]  # token characters in lower case, 0 = none (RFC 9110 §5.6.2)
cdef tuple NAMES  # special names; their kind is their place here plus 1
cdef uint64_t LENGTH, CODING, NOTICED, REPEATED  # bits of names
cdef uint64_t OLD  # the bit of HTTP/1.0

cdef bint same_name(const uint8_t* low, const uint8_t* name, uint32_t size) noexcept nogil
cdef bint look_up(
    const uint8_t* p, uint32_t i, uint32_t n, Names* names, Spelled* into
) noexcept nogil
cdef const Spelled* learn(
    const uint8_t* p, uint32_t i, uint32_t n, Names* names, uint32_t hash
) noexcept nogil
