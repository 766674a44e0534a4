"""The exporter `elasticsearch`: its settings, and what it does."""
