"""What the readers of protobuf raise, compiled or not: one class for both."""

from __future__ import annotations


class WireError(ValueError):
    """Not a serialised message."""
