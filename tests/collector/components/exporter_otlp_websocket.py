"""For the contract test: nobody listens on port 1."""

EXAMPLE = """
endpoint = "ws://127.0.0.1:1"
timeout = "1s"
"""
