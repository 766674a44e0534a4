"""The processor `filter`: its settings, and what it does."""
