"""Changing attributes of serialised items with the least decoding."""
