"""The exporter `file`: its settings, and what it does."""
