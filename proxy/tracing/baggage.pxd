cpdef bytes passed_on(bytes value)
