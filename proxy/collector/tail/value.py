"""AnyValue as a plain Python value."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """str, bool, int, float or bytes; None for lists, maps and nothing at all."""
    kind = value.WhichOneof("value")
    if kind is None or kind in ("array_value", "kvlist_value"):
        return None
    return getattr(value, kind, None)
