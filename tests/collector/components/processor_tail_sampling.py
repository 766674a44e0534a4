"""For the contract test."""

EXAMPLE = """
decision_wait = "1h"
policies = [{ name = "all", type = "always_sample" }]
"""
