"""Trace context: what callers say, whom to believe, what to record, what to pass on. Pure."""
