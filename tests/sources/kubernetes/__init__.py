"""Kubernetes as a source."""
