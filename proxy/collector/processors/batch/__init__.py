"""The processor `batch`: its settings, and what it does."""
