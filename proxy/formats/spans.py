"""Times of spans: whether they are known, and how long a span took.

Pure. OTLP requires both times, and senders leave them out: a span without a start would begin in
1970 and be the slowest there is. An unknown time is not zero, and what cannot be is unknown too: an
end before its start, a clock that was set in between, a time of the next century. A clock that was
never set measures how long a span took as well as any other.
"""

from __future__ import annotations

from typing import Any

_SECOND = 1_000_000_000
EARLIEST = 946_684_800 * _SECOND  # 2000-01-01: no tracing was done before, unset clocks show less
LATEST = 4_102_444_800 * _SECOND  # 2100-01-01
LONGEST = 366 * 86_400 * _SECOND  # a year; then one of two clocks was wrong, or the end is a guess


def is_known(time: int) -> bool:
    """Whether that can be when something happened; Unix ns."""
    return EARLIEST <= time <= LATEST


def duration_ns(span: Any) -> int | None:
    """How long it took; None = nobody knows."""
    start: int = span.start_time_unix_nano
    end: int = span.end_time_unix_nano
    if 0 < start <= end <= LATEST and end - start <= LONGEST:
        return end - start
    return None


def when(span: Any) -> int:
    """Its start, or its end if that alone is known; what it says if neither is. Unix ns."""
    start: int = span.start_time_unix_nano
    end: int = span.end_time_unix_nano
    return end if not is_known(start) and is_known(end) else start
