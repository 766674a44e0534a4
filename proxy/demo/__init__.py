"""What `make run` and `spangate demo` show: five small services behind the gateway.

It owns the example configuration too, so that a wheel has one.
"""

from pathlib import Path

# A link to routes.toml at the top of the repository, and a copy of it in a wheel.
EXAMPLE = Path(__file__).with_name("routes.toml")
