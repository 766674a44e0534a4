"""The exporter `otlp_grpc`: its settings, and what it does."""
