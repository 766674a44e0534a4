"""OTLP on the wire: byte scanner, JSON, status tables, transports. Knows no pipelines."""
