"""The exporter `otlp_websocket`: its settings, and what it does."""
