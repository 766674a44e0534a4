"""The small language of `filter` and `transform` (docs/collector), compiled to closures."""
