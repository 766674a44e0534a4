"""For the contract test."""

EXAMPLE = """
allowed_keys = ["service.name"]
blocked_kinds = ["card", "email", "token"]
"""
