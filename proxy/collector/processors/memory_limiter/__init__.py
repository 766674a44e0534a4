"""The processor `memory_limiter`: its settings, and what it does."""
