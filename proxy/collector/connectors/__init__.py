"""Connectors: what one pipeline exports, another receives; one folder for each type."""
