"""The processor `resource`: its settings, and what it does."""
