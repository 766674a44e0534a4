cdef long long _second
cdef bytes _value

cpdef bytes imf_fixdate(long long second)
