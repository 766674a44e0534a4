"""For the contract test."""

EXAMPLE = """
actions = [
    { action = "insert", key = "team", value = "shop" },
    { action = "delete", key = "n" },
]
"""
