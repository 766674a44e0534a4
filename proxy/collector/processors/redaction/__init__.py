"""The processor `redaction`: its settings, and what it does."""
