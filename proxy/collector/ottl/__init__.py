"""OTTL, the language of the OpenTelemetry Collector: see docs/collector/ottl.md."""
