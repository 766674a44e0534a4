"""The mesh: how traffic gets to a sidecar, and who it says it is."""
