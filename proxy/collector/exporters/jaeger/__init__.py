"""The exporter `jaeger`: its settings, and what it does."""
