"""The admin port: what operators and Prometheus may see of a running gateway."""
