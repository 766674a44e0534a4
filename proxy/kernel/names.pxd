from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    SLOTS = 256
    PASSED = 0  # the kind of a name that is not special

cdef struct Special:  # a name and what it means
    uint32_t hash
    uint8_t kind, size
    uint64_t bit
    const uint8_t* name

cdef struct Spelled:  # a name as a peer spelled it, in words; it is valid, and was looked up before
    uint64_t word[4]
    uint64_t bit
    uint8_t kind, size

cdef struct Names:
    uint32_t seed  # 0 = nobody said what is special
    uint64_t underscored  # the bit of names with an underscore; 0 = they are as others
    Special slots[SLOTS]
    Spelled spelled[SLOTS]

cdef Names REQUESTS, RESPONSES
cdef uint8_t LOWER[256]  # token characters in lower case, 0 = none (RFC 9110 §5.6.2)
cdef tuple NAMES  # special names; their kind is their place here plus 1
cdef uint64_t LENGTH, CODING, NOTICED, UNDERSCORED  # bits; the last of any name with an underscore

cdef bint same_name(const uint8_t* low, const uint8_t* name, uint32_t size) noexcept nogil
cdef uint32_t name_of(
    const uint8_t* p, uint32_t i, uint32_t n, Names* names, uint8_t* kind, uint64_t* bit
) noexcept nogil
