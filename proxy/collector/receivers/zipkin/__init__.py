"""The receiver `zipkin`: its settings, and what it does."""
