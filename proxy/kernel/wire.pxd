from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    NUMBERS = 32  # field numbers from 0; OTLP's highest is 16

# The types of protobuf's FieldDescriptor.
cdef enum:
    NOTHING = 0
    DOUBLE = 1
    INT64 = 3
    UINT64 = 4
    INT32 = 5
    FIXED64 = 6
    FIXED32 = 7
    BOOL = 8
    STRING = 9
    MESSAGE = 11
    BYTES = 12
    UINT32 = 13
    ENUM = 14
    SFIXED64 = 16
    SINT32 = 17
    SINT64 = 18

cdef enum:  # of a field
    REPEATED = 1
    PRESENCE = 2  # written though it is zero or empty
    ONEOF = 4
    PART = 8  # encloses items, or is one
    ITEM = 16
    TRACE = 32  # ids
    SPAN = 64
    PARENT = 128

cdef enum:  # of a message
    PLAIN = 0
    NAMED = 1  # by ids of its own: a span
    LINK = 2
    REFERENCE = 3  # a record or an exemplar, which may refer to a span
    ALONE = 4  # one member of its oneof is all that may come: a metric

cdef struct Entry:
    uint8_t type
    uint8_t flags
    short child  # the message's place in the schema

cdef struct Name:  # in JSON; the text is in a bytes object that the schema holds
    const char *text
    Py_ssize_t size
    int number

cdef struct Message:
    int role
    Entry fields[NUMBERS]
    Name names[NUMBERS]
    int named  # how many have a name

cdef class Schema:
    cdef Message *messages
    cdef list plans  # holds the names
    cdef int size

    cdef int add(self, Message *message, int number, Entry entry, bytes name) except -1

cdef int utf8(const uint8_t *text, Py_ssize_t size) noexcept nogil

cpdef long long survey(Schema schema, bytes request, long long most)
