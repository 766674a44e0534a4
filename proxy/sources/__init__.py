"""Where routes and upstreams come from besides the file: control planes, catalogues, clusters."""
