"""The exporter `zipkin`: its settings, and what it does."""
