"""The connector `span_metrics`: its settings, and what it does."""
