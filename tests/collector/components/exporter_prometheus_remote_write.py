"""For the contract test: nobody listens on port 1."""

EXAMPLE = """
endpoint = "http://127.0.0.1:1/api/v1/write"
timeout = "1s"
"""
