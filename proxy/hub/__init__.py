"""The hub: one process that owns sockets, configuration, health, admin port and collector."""
