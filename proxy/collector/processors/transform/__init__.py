"""The processor `transform`: its settings, and what it does."""
