"""The connector `service_graph`: its settings, and what it does."""
