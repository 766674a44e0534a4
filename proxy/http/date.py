"""Times as HTTP writes them (RFC 9110 §5.6.7), from a clock that the caller reads."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

# By name and not by strftime, whose names are those of the locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(2)  # answers of one second have the same
def imf_fixdate(second: int) -> bytes:
    """The value of a Date field; `second` is Unix time."""
    at = datetime.fromtimestamp(second, UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} GMT".encode("ascii")
