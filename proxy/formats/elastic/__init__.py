"""OTLP as documents of Elasticsearch, in each mapping that its tools know."""
