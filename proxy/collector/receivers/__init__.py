"""Receivers: where batches come from; one folder for each type."""
