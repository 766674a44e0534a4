"""Queues before exporters: in memory, and on disk."""
