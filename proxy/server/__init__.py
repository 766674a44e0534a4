"""The worker: one process that accepts connections, forwards requests and records them."""
