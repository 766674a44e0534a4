"""OTLP on the wire: byte scanner, JSON, status tables, transports. Knows no pipelines."""

import os

# Read when grpc is imported. Its handlers are for processes that fork and go on as Python; the hub
# only ever forks to exec a worker, and each time they would write a line about it to stderr.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# What befalls a channel is in our own log, at a bearable rate; gRPC says it again in C.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
