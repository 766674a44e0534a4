"""For the contract test."""

EXAMPLE = ""
