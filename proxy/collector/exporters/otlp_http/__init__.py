"""The exporter `otlp_http`: its settings, and what it does."""
