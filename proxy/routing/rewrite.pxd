cdef class Template:
    cdef public tuple literals, names

    cpdef str fill(self, dict values, bint encode=*)


cdef class PathMaker:
    cpdef str make(self, str path, dict captures)


cdef class Filled(PathMaker):
    cdef Template _template


cdef class Stripped(PathMaker):
    cdef str _start


cdef class Location:
    cdef public Template origin, path, tail
    cdef public bint keeps_query, same_host
