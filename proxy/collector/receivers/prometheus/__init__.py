"""The receiver `prometheus`: its settings, and what it does."""
