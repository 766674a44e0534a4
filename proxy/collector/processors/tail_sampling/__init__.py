"""The processor `tail_sampling`: its settings, and what it does."""
