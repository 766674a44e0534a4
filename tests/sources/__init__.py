"""Sources of configuration."""
