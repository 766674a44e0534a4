"""The receiver `jaeger`: its settings, and what it does."""
