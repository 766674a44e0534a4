"""What Prometheus scrapes and calls things, to OTLP and back."""
