"""Tests of proxy/messaging."""
