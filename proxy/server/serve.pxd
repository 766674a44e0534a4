from proxy.http.head cimport RequestHead, ResponseHead
from proxy.server.house cimport House
from proxy.server.sides cimport ClientSide
from proxy.server.story cimport Story

cpdef Story tell(House house, ClientSide client, RequestHead head)
cdef tuple _match(Story story, str host)
cdef _relay(Story story, entry, ResponseHead response)
