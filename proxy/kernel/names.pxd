from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    SLOTS = 256
    KEPT = 512  # names that are known as they were spelled
    PASSED = 0  # the kind of a name that is not special
    NOWHERE = 63  # the place of the bit of a name that means nothing

cdef struct Special:  # a name and what it means; `place` is that of its bit
    uint32_t hash
    uint8_t size, kind, place
    const uint8_t* name

cdef struct Spelled:  # a name as a peer spelled it, with zeros behind, and what it means
    uint8_t bytes[32]
    uint32_t size
    uint8_t kind, place

cdef struct Names:
    uint32_t seed  # 0 = nobody said what is special
    uint8_t underscore  # the place of the bit of names with an underscore
    Special slots[SLOTS]
    Spelled kept[KEPT]  # at name_hash() or beside it

cdef Names REQUESTS, RESPONSES
cdef uint8_t LOWER[256]  # token characters in lower case, 0 = none (RFC 9110 §5.6.2)
cdef tuple NAMES  # special names; their kind is their place here plus 1
cdef uint64_t BITS[256]  # by kind
cdef bint REPEATED[256]  # by kind: has the same value from head to head
cdef uint64_t LENGTH, CODING, NOTICED  # bits of names
cdef uint64_t OLD  # the bit of HTTP/1.0

cdef bint same_name(const uint8_t* low, const uint8_t* name, uint32_t size) noexcept nogil
cdef bint look_up(
    const uint8_t* p, const uint8_t* end, Names* names, Spelled* into
) noexcept nogil
cdef const Spelled* learn(
    const uint8_t* p, const uint8_t* end, Names* names, uint32_t hash
) noexcept nogil
