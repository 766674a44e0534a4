"""Files of the OpenTelemetry Collector, read as ours: see docs/collector/yaml.md."""
