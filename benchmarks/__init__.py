"""Measurements of the gateway and its peers; nothing here is imported by the product."""
