"""Processors: what happens to batches on the way; one folder for each type."""
