"""For the contract test."""

EXAMPLE = "limit_percentage = 99"
