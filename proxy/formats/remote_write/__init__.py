"""Prometheus remote write, both versions, to OTLP and back."""
