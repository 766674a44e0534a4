"""For the contract test: what is written there is gone, and a name in /dev cannot be rotated."""

EXAMPLE = """
path = "/dev/null"
flush_interval = "10ms"
"""
