"""For the contract test."""

EXAMPLE = 'wait_duration = "1h"'
