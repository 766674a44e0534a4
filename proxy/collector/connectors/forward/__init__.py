"""The connector `forward`: its settings, and what it does."""
