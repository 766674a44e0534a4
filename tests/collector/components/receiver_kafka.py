"""For the contract test: nobody listens on port 1."""

EXAMPLE = """
brokers = ["127.0.0.1:1"]
"""
