"""What `make run` shows: three small services that call each other through the gateway."""
