cdef class Template:
    cdef public tuple literals, names

    cpdef str fill(self, dict values, encode=*)


cdef class PathMaker:
    pass


cdef class Filled(PathMaker):
    cdef Template _template


cdef class Stripped(PathMaker):
    cdef str _start


cdef class Location:
    cdef public Template origin, path, tail
    cdef public bint keeps_query, same_host
