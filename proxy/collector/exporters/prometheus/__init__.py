"""The exporter `prometheus`: its settings, and what it does."""
