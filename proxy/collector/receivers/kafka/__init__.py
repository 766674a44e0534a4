"""The receiver `kafka`: its settings, and what it does."""
