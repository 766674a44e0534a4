"""The processor `resource_detection`: its settings, and what it does."""
