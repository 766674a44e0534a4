"""The receiver `prometheus_remote_write`: its settings, and what it does."""
