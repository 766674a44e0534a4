"""The receiver `otlp`: its settings, and what it does."""
