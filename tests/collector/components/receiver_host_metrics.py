"""For the contract test."""

EXAMPLE = 'scrapers = ["cpu", "memory", "network", "process"]'
