"""For the contract test."""

EXAMPLE = """
verbosity = "detailed"
"""
