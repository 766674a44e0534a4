"""Foreign formats, to OTLP and back: bytes and values alone, no sockets and no pipelines."""
