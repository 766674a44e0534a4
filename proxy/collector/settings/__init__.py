"""Settings: each component's table in routes.toml, one module for each, nothing heavy imported."""
