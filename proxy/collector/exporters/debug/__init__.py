"""The exporter `debug`: its settings, and what it does."""
