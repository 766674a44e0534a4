"""The processor `attributes`: its settings, and what it does."""
