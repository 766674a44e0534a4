"""For the contract test."""

EXAMPLE = """
attributes = [{ action = "upsert", key = "deployment.environment.name", value = "test" }]
"""
