"""HTTP as a subject of rules: heads, headers, framing, paths. Pure: no sockets, no clock."""
