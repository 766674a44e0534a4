"""The exporter `console`: its settings, and what it does."""
