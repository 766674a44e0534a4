"""For the contract test."""

EXAMPLE = """
grpc = "127.0.0.1:0"
http = "127.0.0.1:0"
"""
