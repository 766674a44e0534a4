"""Times as HTTP writes them (RFC 9110 §5.6.7), from a clock that the caller reads."""

from __future__ import annotations

from datetime import UTC, datetime

# By name and not by strftime, whose names are those of the locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


_second = -1  # that of the last answer; those of one second have the same value
_value = b""


def imf_fixdate(second: int) -> bytes:
    """The value of a Date field; `second` is Unix time."""
    global _second, _value
    if second != _second:
        _value = _formatted(second)
        _second = second
    return _value


def _formatted(second: int) -> bytes:
    at = datetime.fromtimestamp(second, UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} GMT".encode("ascii")
