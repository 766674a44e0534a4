from proxy.kernel.tokens cimport is_ordinary

cpdef str normalise(str path)
cpdef str renormalise(str path)
cpdef str decode_slashes(str path)
cpdef str encode_utf8(bytes raw)
cpdef bint has_parameters(str path)
