cpdef int plain_members(bytes state) except -1
cpdef bint mentions(bytes state, bytes word) except -1
