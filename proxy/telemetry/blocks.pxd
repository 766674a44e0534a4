cimport cython

from proxy.kernel.counts cimport Histogram, Number


cdef class RouteBlocks:
    cdef public str name, template, upstream_template
    cdef public dict labels, services, servers, clients, latest, calls
    cdef public frozenset methods
    cdef public ServerBlock last
    cdef public int parts

    cpdef ServerBlock server(self, tuple kind, object registry)
    cpdef ClientBlock client(self, tuple kind, tuple address, object registry)


cdef class ServerBlock:
    cdef public Histogram duration, request_size, response_size, call_duration
    cdef public str method, kind_error, scheme, version, error, json, code
    cdef public bytes span, log
    cdef public int status, shown, parts
    cdef public bint other

    @cython.locals(one=Histogram)
    cpdef keep_quiet(self)


cdef class ClientBlock:
    cdef public Histogram duration, call_duration
    cdef public Number reused
    cdef public str method, upstream, kind_error, scheme, version
    cdef public bytes span, url
    cdef public int status
    cdef public bint other
