"""Exporter `recent`: what flows here can be looked at for a while."""
