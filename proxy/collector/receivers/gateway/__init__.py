"""The receiver `gateway`: its settings, and what it does."""
