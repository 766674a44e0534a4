"""Zipkin's model in JSON and protobuf, to OTLP and back."""
