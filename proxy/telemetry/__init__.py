"""From the facts of an exchange to span bytes, numbers and access records. Pure."""
