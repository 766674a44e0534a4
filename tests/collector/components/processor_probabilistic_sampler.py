"""For the contract test."""

EXAMPLE = "sampling_percentage = 50"
