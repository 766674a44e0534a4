"""For the contract test."""

EXAMPLE = 'endpoint = "127.0.0.1:0"'
