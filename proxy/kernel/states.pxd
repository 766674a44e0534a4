cpdef int plain_members(bytes state) except -1
