"""Which route takes a request, and what becomes of its path. Pure: no sockets, no clock."""
