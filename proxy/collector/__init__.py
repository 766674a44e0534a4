"""Stages through which telemetry flows from the workers to where it should go."""
