"""The receiver `host_metrics`: its settings, and what it does."""
