"""Jaeger's model in protobuf and Thrift, to OTLP and back."""
