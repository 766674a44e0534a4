"""The processor `group_by_trace`: its settings, and what it does."""
