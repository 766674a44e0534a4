"""Exporters: where batches go; one folder for each type."""
