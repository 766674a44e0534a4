"""The exporter `kafka`: its settings, and what it does."""
