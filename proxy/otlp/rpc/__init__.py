"""gRPC over HTTP/2 for unary calls, either side: words, clocks, connections. Knows no OTLP."""
